"""Reading a server's boot log: which lines say what, and what was observed."""
