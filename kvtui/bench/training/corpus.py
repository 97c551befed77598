"""The text that models are trained on and measured with.

The built-in text is the language reference that every CPython carries for its ``help()``; a frozen part of it, which
comes with kvtui, is the validation text, and no paragraph of that is trained on. Of a user's own files the last tenth
is the validation text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text
from kvtui.engine.basis.places import DATA
from kvtui.engine.basis.untrusted import plain

VALIDATION = Path(DATA, "corpus", "validation.txt")
VALIDATION_SHA256 = "91438e4fada11df5f7801918e67ad675b3ba1bfaa551cda13872450c195d3053"
MOST_BYTES = 2**28
LEAST_CHARACTERS = 2000
TENTH = 10


class Corpus(NamedTuple):
    """Text to train on, text to measure with, and the SHA-256 of the latter, which says what losses may be compared."""

    train: str
    validation: str
    sha256: str


def load(files: Sequence[Path] = ()) -> Corpus:
    """The text of ``files``, or the built-in text without any.

    Raises InputError for a file that cannot be read, and for less than 2,000 characters in all.
    """
    if not files:
        return _builtin()
    text = "\n\n".join(_content(path) for path in files)
    if len(text) < LEAST_CHARACTERS:
        named = ", ".join(plain(str(path)) for path in files)
        raise InputError(f"text: {len(text):,} characters in {named}; {LEAST_CHARACTERS:,} are needed at least")
    cut = len(text) - len(text) // TENTH
    return _corpus(text[:cut], text[cut:])


def _builtin() -> Corpus:
    validation = read_text(VALIDATION, MOST_BYTES)
    if hashlib.sha256(validation.encode()).hexdigest() != VALIDATION_SHA256:
        raise InputError(f"{VALIDATION}: is not the validation text that kvtui came with; install kvtui again")
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise InputError("text: this Python has no pydoc_data; give text files with --text") from None
    held_back = set(map(_key, validation.split("\n\n")))
    paragraphs = (part for _, topic in sorted(topics.items()) for part in topic.split("\n\n"))
    return _corpus("\n\n".join(part for part in paragraphs if _key(part) not in held_back), validation)


def _corpus(train: str, validation: str) -> Corpus:
    return Corpus(train, validation, hashlib.sha256(validation.encode()).hexdigest())


def _key(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _content(path: Path) -> str:
    try:
        return read_text(path, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"text: {plain(str(path))}: no such file") from None
