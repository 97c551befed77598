"""The picture of a device's memory, and the text beside it, as cells: pure functions from a view."""
