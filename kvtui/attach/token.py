"""The bearer token: from a file, or from the environment. It is never part of what is shown or recorded."""

from __future__ import annotations

import os

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text, unreadable

VARIABLE = "KVTUI_TOKEN"
MOST_BYTES = 2**16


def read_token(given: str | None, file: str | None) -> str:
    """The token that was ``given``, in ``file``, or in the environment; empty without any.

    Raises InputError, without the token, for one that no header can hold, and for a file that cannot be read.
    """
    if given is not None:
        token, where = given, "--token"
    elif file is not None:
        try:
            token, where = read_text(file, MOST_BYTES).strip(), "--token-file"
        except OSError as error:
            raise InputError(f"--token-file: {unreadable(file, error)}") from None
    else:
        token, where = os.environ.get(VARIABLE, "").strip(), VARIABLE
    if not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(f"{where}: is no token: it has characters that no header can hold")
    return token
