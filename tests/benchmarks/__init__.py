"""How fast it is: `make bench`, or one alone: `python -m tests.benchmarks one_video`. See docs/benchmarks.md."""
