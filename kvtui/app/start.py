"""What the start of the app puts off until its first picture is seen: looking for garbage, and loading numpy."""

from __future__ import annotations

import gc
import os
import sys
from threading import Thread

BLAS_THREADS = "OPENBLAS_NUM_THREADS"


def begin() -> None:
    """Look for no garbage: nearly all that a start makes is there to stay, and looking through it takes long."""
    gc.disable()


def begun() -> None:
    """Look for garbage again, but never more among what the start has made, and load numpy."""
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    load_beside()


def load_beside() -> None:
    """Import numpy in a thread, for the screens of curves and tables; nothing happens where it is there already.

    The app multiplies no matrices: OpenBLAS is asked not to start a thread for each core, and only here, so that
    programs that the app starts are free to.
    """
    if "numpy" in sys.modules:
        return

    def load() -> None:
        import numpy  # noqa: F401

        if alone:
            del os.environ[BLAS_THREADS]

    alone = BLAS_THREADS not in os.environ
    os.environ.setdefault(BLAS_THREADS, "1")
    Thread(target=load, daemon=True).start()
