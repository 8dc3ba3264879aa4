"""Benchmarks beside peers, each by one command."""
