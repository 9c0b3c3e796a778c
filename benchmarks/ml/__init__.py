"""Benchmarks of the ML layer on public data, each model beside its trivial baseline."""
