"""Which file of a repository of GGUF files is meant: by its name, by its format, or the only one."""

from __future__ import annotations

import re
from collections.abc import Mapping

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.checkpoint.gguf.named import file_type_in, file_type_key

LISTED = 12

_PART = re.compile(r"-([0-9]{5})-of-[0-9]{5}(?=\.gguf$)")
_BESIDE = ("mmproj", "imatrix")


def choose(files: Mapping[str, int], wanted: str, where: str) -> str:
    """The file among ``files``, with their bytes, that ``wanted`` names, or the only one where it is empty.

    ``wanted`` is a file's path or name, or a format as in ``Q4_K_M``. Of a split model it is the first part. Projectors
    of images and matrices of importance are no models. Raises InputError, one line that begins with ``where`` and lists
    what there is, when several or none are meant.
    """
    models: dict[str, int] = {}
    firsts: dict[str, str] = {}
    for file in sorted(files):
        name = file.rpartition("/")[2]
        if name.lower().startswith(_BESIDE):
            continue
        whole = _PART.sub("", file)
        models[whole] = models.get(whole, 0) + files[file]
        firsts.setdefault(whole, file)
    if not models:
        raise InputError(f"{where} has no GGUF file of a model")
    asked = wanted.lower()
    named = [whole for whole in models if asked in (whole.lower(), whole.lower().rpartition("/")[2], firsts[whole])]
    meant = named or [whole for whole in models if not asked or _stored(whole) == _format(asked)]
    if not meant:
        word = re.compile(rf"(?<![a-z0-9]){re.escape(asked)}(?![a-z0-9])")
        meant = [whole for whole in models if word.search(whole.lower().rpartition("/")[2])]
    if len(meant) == 1:
        return firsts[meant[0]]
    said = f"holds several files: add one of {_listed(models)}"
    raise InputError(f"{where} {said if meant else f'has no {plain(wanted, 60)}; it {said}'}")


def _stored(whole: str) -> str:
    """The format in a file's name, or the name itself."""
    name = whole.rpartition("/")[2]
    return file_type_in(name) or name.lower()


def _format(asked: str) -> str:
    return file_type_in(asked) or file_type_key(asked) or asked


def _listed(models: Mapping[str, int]) -> str:
    """Formats with their sizes, the smallest first; files by their names where two have one format."""
    formats = [_stored(whole) for whole in models]
    shown = [
        (size, f":{form.upper()}" if formats.count(form) == 1 and file_type_key(form) else f"/{plain(whole)}")
        for (whole, size), form in zip(models.items(), formats, strict=True)
    ]
    texts = [f"{label} ({format_bytes(size)})" for size, label in sorted(shown)]
    return ", ".join(texts[:LISTED]) + (f" and {len(texts) - LISTED} more" if len(texts) > LISTED else "")
