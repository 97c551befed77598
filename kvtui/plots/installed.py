"""What a picture needs that is not there."""

from __future__ import annotations


class NotInstalled(RuntimeError):
    """A library or a font is not there. The message is one line and says what to do."""
