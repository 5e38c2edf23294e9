"""``stampline doctor``: what is wrong with two datacenters, one line a finding, each with the statement that mends it.

Law: asking (``ask*.py``) and judging (``*_checks.py``) are apart. A check is a pure function of facts; whoever asks
changes nothing on any server, and a server that does not answer is a finding, not an end.
"""
