"""Benchmark cases: what is measured, what is predicted for it, and how samples become a result."""
