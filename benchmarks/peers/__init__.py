"""This engine beside others that run the same model, arms in turn in one run: ``python -m benchmarks.peers --help``."""
