"""The looks of a screen beside those that are recorded."""

from __future__ import annotations

from difflib import unified_diff
from pathlib import Path

import pytest
import textual

from tests.looks.frames import read, written
from tests.looks.page import page
from tests.looks.walk import Looks, Size

RECORDED = Path(__file__).with_name("recorded")
MOST_LINES = 60


def file_of(name: str, size: Size) -> Path:
    """Where the looks of the screen called ``name`` are recorded."""
    return RECORDED / f"{name}-{size[0]}x{size[1]}.txt"


def check(name: str, size: Size, looks: Looks, folder: Path, update: bool) -> None:
    """Fail where ``looks`` are not those recorded, and put a page that shows both into ``folder``; or record them."""
    path, now = file_of(name, size), written(looks)
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(now, encoding="utf-8")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if now == before:
        return
    shown = folder / f"{path.stem}.html"
    shown.write_text(page(path.stem, read(before) if before else {}, looks), encoding="utf-8")
    lines = list(unified_diff(before.splitlines(), now.splitlines(), "recorded", "now", lineterm="", n=1))
    rest = [f"… {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    pytest.fail(
        "\n".join(
            [
                f"{path.stem} does not look as recorded (now with Textual {textual.__version__}).",
                f"Both, side by side, are in {shown}",
                "If it should look like this: pytest tests/looks --update-looks",
                *lines[:MOST_LINES],
                *rest,
            ]
        ),
        pytrace=False,
    )
