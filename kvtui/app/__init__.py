"""The app: Textual's application object over the screens, and what it asks of the terminal."""
