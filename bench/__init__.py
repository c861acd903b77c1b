"""Side-by-side benchmarks: what the worker does beside what it replaces, in one run on one machine."""
