"""Checkpoint formats of Hugging Face files: quantisation methods, and the modules that each leaves alone."""
