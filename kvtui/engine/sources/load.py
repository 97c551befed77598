"""Where a model description can come from: a name, a config.json, a GGUF file, or the Hugging Face Hub."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import open_to_read, unreadable
from kvtui.engine.basis.places import confined
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec

if TYPE_CHECKING:
    from pathlib import Path

_FILE_ENDINGS = (".json", ".gguf")
_FILE_BEGINNINGS = ("./", "../", "/", "~")
_HUB = "hf:"
_TAG = ":"
_GGUF_MAGIC = b"GGUF"
_LISTED = 5


def load_model(text: str) -> ModelSpec:
    """The model that ``text`` names: a file or folder, ``hf:ORG/NAME``, a name of the catalogue, or one used elsewhere.

    A path that exists wins over a name. Raises InputError, one line, when there is no such file, it cannot be read or
    understood, or no catalogue knows the name.
    """
    if text.startswith(_HUB):
        from kvtui.engine.sources.hub import read_hub

        return read_hub(text)
    like_a_path = text.endswith(_FILE_ENDINGS) or text.startswith(_FILE_BEGINNINGS)
    try:
        path = os.path.expanduser(text)
        mode = os.stat(path).st_mode if text and confined() is None else 0
    except FileNotFoundError:
        mode = 0
    except (OSError, ValueError, RuntimeError) as error:
        if not like_a_path:
            mode = 0
        else:
            reason = getattr(error, "strerror", None) or str(error)
            raise InputError(f"model: {plain(text)}: {plain(reason)}") from None
    if mode:
        from pathlib import Path

        return _read_path(Path(path), mode)
    if like_a_path:
        return _file_that_is_elsewhere(text)
    from kvtui.engine.model.catalogue import get_model

    found = None if _TAG in text else get_model(text)
    if found is not None:
        return found
    from kvtui.engine.sources.names import named_model

    return named_model(text)


def _file_that_is_elsewhere(text: str) -> ModelSpec:
    """The model that the name of a GGUF file tells which is not here. Raises InputError for every other path."""
    if text.endswith(".gguf") and not text.startswith(_FILE_BEGINNINGS):
        from kvtui.engine.sources.names import known_name

        found = known_name(text)
        if found is not None:
            return found
    raise InputError(f"model: {plain(text)}: no such file")


def _read_path(path: Path, mode: int) -> ModelSpec:
    if stat.S_ISDIR(mode):
        path = _in_folder(path)
    elif not stat.S_ISREG(mode):
        raise InputError(f"model: {plain(str(path))}: neither a regular file nor a folder")
    if path.suffix.lower() == ".gguf" or (stat.S_ISREG(mode) and _begins_as_gguf(path)):
        from kvtui.engine.sources.gguf.model import read_gguf

        return read_gguf(path)
    from kvtui.engine.sources.hf.config import read_config

    return read_config(path)


def _begins_as_gguf(path: Path) -> bool:
    """Whether it is a GGUF file under another name, as model stores that name files by their hash keep them."""
    try:
        with open_to_read(path) as file:
            return os.fstat(file.fileno()).st_size > 0 and file.read(len(_GGUF_MAGIC)) == _GGUF_MAGIC
    except OSError as error:
        raise unreadable(path, error) from None


def _in_folder(folder: Path) -> Path:
    """The only GGUF model of a folder without a config.json (a split one by its first part), else the folder."""
    try:
        if (folder / "config.json").exists():
            return folder
        names = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".gguf")
    except OSError as error:
        raise InputError(f"model: {plain(str(folder))}: {plain(error.strerror or str(error))}") from None
    models = [name for name in names if not name.startswith("mmproj") and not _is_later_part(name)]
    if len(models) > 1:
        shown = ", ".join(plain(name) for name in models[:_LISTED])
        more = f" and {len(models) - _LISTED} more" if len(models) > _LISTED else ""
        raise InputError(f"model: {plain(str(folder))} holds several models: give one of {shown}{more}")
    return folder / models[0] if models else folder


def _is_later_part(name: str) -> bool:
    parts = name.removesuffix(".gguf").rsplit("-", 3)
    match parts:
        case [_, number, "of", count]:
            return number.isdecimal() and count.isdecimal() and int(number) > 1
    return False
