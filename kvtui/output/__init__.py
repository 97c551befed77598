"""Ways to write what is known: CSV, JSON, tables, lines and markup, all harmless to a terminal."""
