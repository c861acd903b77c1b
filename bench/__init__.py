"""Benchmarks: the worker beside the software that it replaces, measured in one run on one machine."""
