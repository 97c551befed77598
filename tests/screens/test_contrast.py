"""Every text that is shown can be read: a contrast of 4.5 : 1 or more, as WCAG 2.2 asks of text, in dark and light."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from rich.color_triplet import ColorTriplet
from rich.style import Style

from kvtui.app.app import KvtuiApp
from kvtui.canvas.palette import Ink, hex_color
from kvtui.engine.scenario.values import scenario_from
from kvtui.state import themes
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.nightly import sampled

LEAST = 4.5
TEXT_INKS = (
    Ink.TEXT,
    Ink.DIM,
    Ink.FAINT,
    Ink.BRIGHT,
    Ink.ACCENT,
    Ink.GOOD,
    Ink.WARN,
    Ink.BAD,
    Ink.GOLD,
    Ink.WEIGHTS,
    Ink.KV,
    Ink.STATE,
    Ink.SAVED,
    Ink.ACTIVATION,
    Ink.OVERFLOW,
)


def luminance(color: ColorTriplet) -> float:
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    """Example: black on white has 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def triplet(text: str) -> ColorTriplet:
    return ColorTriplet(*bytes.fromhex(text[1:]))


def test_black_on_white() -> None:
    assert contrast(triplet("#000000"), triplet("#ffffff")) == pytest.approx(21)


@pytest.mark.parametrize("look", ["dark", "light", "wafer"])
@pytest.mark.parametrize("ink", TEXT_INKS, ids=lambda ink: ink.name)
def test_inks_of_text(ink: Ink, look: str) -> None:
    theme = themes.LIGHT if look == "light" else themes.DARK
    for under in (theme.background, theme.surface):
        assert contrast(triplet(hex_color(ink, look)), triplet(str(under))) >= LEAST  # type: ignore[arg-type]


def texts(app: KvtuiApp) -> Iterator[tuple[str, Style]]:
    """All runs of characters with letters or digits in them, as they are on the screen."""
    for strip in app.screen._compositor.render_strips():
        for segment in strip:
            if segment.style is not None and any(char.isalnum() for char in segment.text):
                yield segment.text, segment.style


@pytest.mark.parametrize("theme", ["kvtui-dark", "kvtui-light"])
@sampled(2)
def test_what_every_screen_says(theme: str) -> None:
    async def run() -> dict[str, float]:
        found: dict[str, float] = {}
        scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM", "context": "32K", "batch": "4"})
        app = KvtuiApp(Session(scenario), Settings(theme=theme, palette="rgb", motion="none", remember=False))
        async with app.run_test(size=(160, 46)) as pilot:
            for mode in ("1", "2", "3", "4", "5"):
                await pilot.press(mode)
                await pilot.pause()
                for text, style in texts(app):
                    if style.color is None or style.bgcolor is None or style.color.triplet is None:
                        continue
                    if style.bgcolor.triplet is None:
                        continue
                    ratio = contrast(style.color.triplet, style.bgcolor.triplet)
                    if ratio < LEAST:
                        found[f"{mode}: {text.strip()[:40]} {style.color.name} on {style.bgcolor.name}"] = round(
                            ratio, 2
                        )
        return found

    unreadable = asyncio.run(run())
    assert not unreadable, "\n".join(f"{text}: {ratio}" for text, ratio in unreadable.items())
