"""Models: layers, each of one kind, what each caches, and the catalogue of those known."""
