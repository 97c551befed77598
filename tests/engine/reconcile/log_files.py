"""The sample logs, and how to read them in tests."""

from __future__ import annotations

from io import BytesIO

from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.reconcile.read_log import read_log
from tests.paths import LOGS

NAMES = tuple(sorted(path.name for path in LOGS.iterdir()))


def read(name: str) -> BootLog:
    """The sample log of that name."""
    with (LOGS / name).open("rb") as stream:
        return read_log(stream)


def told(text: str | bytes) -> BootLog:
    """The log with that text."""
    return read_log(BytesIO(text.encode() if isinstance(text, str) else text))
