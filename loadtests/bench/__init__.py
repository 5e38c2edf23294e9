"""Side-by-side benchmarks: ``python -m loadtests.bench [NAME…]``."""
