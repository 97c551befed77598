"""Colours of the theme for Rich texts, such as the cells of a table; content with markup names them itself."""

from __future__ import annotations

from rich.style import Style
from textual.app import App
from textual.color import Color, ColorParseError


def ink(app: App[object], variable: str) -> Style:
    """The theme's colour ``variable`` ("success") as a Rich style; none where the theme leaves it to the terminal."""
    try:
        return Style(color=Color.parse(app.theme_variables[variable]).rich_color)
    except (KeyError, ColorParseError):
        return Style()
