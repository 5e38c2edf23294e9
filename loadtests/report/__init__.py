"""One command from nothing to the report: `loadtests/run.sh`, or `python -m loadtests.report` where all is installed.

run           the worlds one after the other, the helper, the scale       requirements  reached, or short and why
markdown      report.md             html   report.html                    plots         the pictures (matplotlib)
summary       the section of loadtests/RESULTS.md
"""
