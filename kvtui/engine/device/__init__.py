"""Accelerators: what one has, and the catalogue of those known."""
