"""Start, and nothing else: the exit code of a command line, and a quiet end.

stdout is data and stderr is narration. Exit codes: 0 done (and with ``--check``: it fits), 1 failed, 2 wrong usage or
input, 3 backend not available, 4 does not fit (with ``--check``), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import gc
import sys

from kvtui.commands.known import do
from kvtui.commands.narration import fail, say
from kvtui.commands.streams import drop_output, open_streams
from kvtui.engine.basis.errors import InputError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

FAILED, INTERRUPTED = 1, 130
YOUNG_OBJECTS = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` asks and return the exit code; what is wrong is one line on stderr.

    Raises BrokenPipeError when nobody reads stdout any more.
    """
    try:
        return do(list(sys.argv[1:] if argv is None else argv))
    except InputError as error:
        fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"{error.filename or 'output'}: {error.strerror or error}", FAILED)


def run() -> NoReturn:
    """The console script: ``main`` with streams that are there, and a quiet end on a closed pipe or an interrupt.

    Garbage is looked for less often than Python does by itself, since nearly all that a start makes is there to stay,
    and not at the very end, when all of it goes.
    """
    gc.set_threshold(YOUNG_OBJECTS)
    open_streams()
    code: object = 0
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    except BrokenPipeError:
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    try:
        sys.stdout.flush()
    except OSError as error:
        drop_output()
        if not isinstance(error, BrokenPipeError) and code != FAILED:
            say(f"output: {error.strerror or error}")
            code = FAILED
    gc.freeze()
    raise SystemExit(code)
