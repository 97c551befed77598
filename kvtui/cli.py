"""Start, and nothing else: the exit code of a command line, and a quiet end.

stdout is data and stderr is narration. Exit codes: 0 done (and with ``--check``: it fits), 1 failed, 2 wrong usage or
input, 3 backend not available, 4 does not fit (with ``--check``), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import gc
import os
import sys

from kvtui.commands.known import do
from kvtui.commands.narration import fail
from kvtui.engine.basis.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

FAILED, INTERRUPTED = 1, 130
YOUNG_OBJECTS = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` asks and return the exit code; wrong input is one line on stderr."""
    try:
        return do(list(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"{error.filename or 'output'}: {error.strerror or error}", FAILED)


def run() -> NoReturn:
    """The console script: ``main`` with a quiet end on a closed pipe or an interrupt.

    Garbage is looked for less often than Python does by itself, since nearly all that a start makes is there to stay,
    and not at the very end, when all of it goes.
    """
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        gc.freeze()
    sys.exit(code)
