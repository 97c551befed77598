"""The Papers screen: where the ideas come from, and how to read the picture."""
