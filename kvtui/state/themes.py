"""The two themes of the app's own; all of Textual's can be chosen as well."""

from __future__ import annotations

from textual.theme import BUILTIN_THEMES, Theme

DARK = Theme(
    name="kvtui-dark",
    primary="#7cc7ff",
    secondary="#7c5cff",
    accent="#ffb454",
    success="#3ddc97",
    warning="#ffb454",
    error="#ff6b6b",
    foreground="#c7d0e0",
    background="#0a0e17",
    surface="#0f1522",
    panel="#151d2e",
    dark=True,
    variables={
        "block-cursor-background": "#24406b",
        "block-cursor-foreground": "#f4f7ff",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#24406b",
        "block-cursor-blurred-foreground": "#f4f7ff",
        "block-cursor-blurred-text-style": "none",
        "border": "#34405a",
        "border-blurred": "#34405a",
        "footer-background": "#0f1522",
        "footer-description-foreground": "#8b95a9",
        "footer-key-foreground": "#ffb454",
        "input-selection-background": "#7cc7ff 30%",
        "scrollbar": "#34405a",
        "scrollbar-hover": "#4a5878",
        "scrollbar-active": "#7cc7ff",
        "scrollbar-background": "#0f1522",
        "scrollbar-background-hover": "#0f1522",
        "scrollbar-background-active": "#0f1522",
    },
)

LIGHT = Theme(
    name="kvtui-light",
    primary="#0b66b5",
    secondary="#6a45e0",
    accent="#965500",
    success="#0a7550",
    warning="#965500",
    error="#c02626",
    foreground="#22303f",
    background="#f7f9fc",
    surface="#ffffff",
    panel="#eaf0f7",
    dark=False,
    variables={
        "text-muted": "#4a5766",
        "foreground-muted": "#4a5766",
        "block-cursor-background": "#cfe3f7",
        "block-cursor-foreground": "#05101c",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#cfe3f7",
        "block-cursor-blurred-foreground": "#05101c",
        "block-cursor-blurred-text-style": "none",
        "border": "#b9c3cf",
        "border-blurred": "#b9c3cf",
        "footer-background": "#eaf0f7",
        "footer-description-foreground": "#56616f",
        "footer-key-foreground": "#965500",
        "input-selection-background": "#0b66b5 25%",
        "scrollbar": "#b9c3cf",
        "scrollbar-hover": "#8994a2",
        "scrollbar-active": "#0b66b5",
        "scrollbar-background": "#eaf0f7",
        "scrollbar-background-hover": "#eaf0f7",
        "scrollbar-background-active": "#eaf0f7",
    },
)

OWN = (DARK, LIGHT)


def theme_names() -> tuple[str, ...]:
    """The names of all themes, the app's own first."""
    return tuple(theme.name for theme in OWN) + tuple(BUILTIN_THEMES)
