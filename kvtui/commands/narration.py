"""What a command says beside its answer: lines on stderr, harmless whatever stands in them."""

from __future__ import annotations

import sys

from kvtui.engine.basis.untrusted import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = 2
MOST_CHARACTERS = 1000


def say(text: str) -> None:
    """One line of narration."""
    print(f"kvtui: {plain(text, MOST_CHARACTERS)}", file=sys.stderr, flush=True)


def fail(text: str, code: int = USAGE) -> NoReturn:
    """One line that says what is wrong, and the end with exit ``code``."""
    say(text)
    raise SystemExit(code)
