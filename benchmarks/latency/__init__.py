"""How long tokens take to come from the engine alone, without HTTP: ``python -m benchmarks.latency --help``."""
