"""Benchmarks: the connector beside psql, in one run on one machine. `make bench`."""
