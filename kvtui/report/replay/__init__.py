"""What a replay says: one document of plain values, and every format of it."""
