"""Ctrl-C and a request to terminate, for commands whose work goes on in another process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kvtui.bench.runner import Control

SIGNAL_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


@contextmanager
def cancelling(control: Control) -> Iterator[list[int]]:
    """Ctrl-C and a request to terminate cancel the work of ``control`` and are noted in the list that this gives."""
    received: list[int] = []

    def cancel(number: int, _: object) -> None:
        received.append(number)
        control.cancel()

    before = {number: signal.signal(number, cancel) for number in SIGNAL_CODES}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(received: list[int]) -> int:
    """The exit code of a command that the first of the ``received`` signals ended."""
    return SIGNAL_CODES[signal.Signals(received[0])]
