"""Inline images of iTerm2: https://iterm2.com/documentation-images.html. What is written over a picture erases it."""

from __future__ import annotations

from base64 import b64encode


def place(png: bytes, columns: int, rows: int) -> str:
    """A PNG file in ``columns`` × ``rows`` cells from the cursor on."""
    keys = f"inline=1;size={len(png)};width={columns};height={rows};preserveAspectRatio=0;doNotMoveCursor=1"
    return f"\x1b]1337;File={keys}:{b64encode(png).decode('ascii')}\x07"
