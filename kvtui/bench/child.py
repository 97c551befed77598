"""The child's side of a process that works for another: one JSON object per line each way, and no life of its own.

Nothing but events ever reaches the real stdout; what JAX prints goes to stderr. The child ends at once when its stdin
closes, even within a job, and on Linux when the thread that started it ends: nothing is left running after its parent
was killed.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

NO_BACKEND = 3
"""The exit code of a child that has no JAX, or not the device that was asked for."""
PR_SET_PDEATHSIG = 1

ChildMessage = Mapping[str, Any]
Emit = Callable[[ChildMessage], None]
"""How work tells of itself."""


def sender(out: BinaryIO) -> Emit:
    """How an event is written to ``out``; the process ends when nobody reads it any more."""

    def send(event: ChildMessage) -> None:
        try:
            out.write(json.dumps(event, allow_nan=False, separators=(",", ":")).encode() + b"\n")
            out.flush()
        except BrokenPipeError:
            os._exit(0)

    return send


def lines() -> Iterator[bytes]:
    """The lines of stdin, after the last of which the process ends; ``sys.stdin`` itself is left to the interpreter."""
    with open(0, "rb", closefd=False) as given:
        for line in given:
            if line.strip():
                yield line
    os._exit(0)


def reserved_stdout() -> BinaryIO:
    """The real stdout; from now on whatever is printed goes to stderr."""
    events = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return events


def end_with_parent() -> None:
    """Leave Ctrl-C to the parent, and end when it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
