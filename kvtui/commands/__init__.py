"""The command line: one parser, and a module per command."""
