"""A running server's cache: what it publishes, read as immutable snapshots. No socket is opened here."""
