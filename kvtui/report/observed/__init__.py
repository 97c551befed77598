"""What is said of a running server: one document of plain values, and every format of it."""
