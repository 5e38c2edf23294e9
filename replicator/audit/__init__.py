"""``stampline audit``: an observer beside production that asks, some time after a change, whether readers see it.

Law: it decides as a reader does (the same index, the same verdict) and compares as nobody else does (the row itself).
It never writes, never fills, and a doubt is counted as a doubt, not as a success.
"""
