"""What the app remembers: the session with its current scenario, settings, keys and themes."""
