"""Pictures as arrays of cells, and the one widget that shows them."""
