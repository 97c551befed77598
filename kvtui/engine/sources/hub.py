"""``hf:ORG/NAME``: a model of the Hugging Face Hub → ModelSpec, from its ``config.json`` or the header of a GGUF file.

Of a GGUF file only the header is read, by ranges: a few MB of many GB.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.places import confined
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import ModelSpec

if TYPE_CHECKING:
    from kvtui.engine.sources.gguf.container import Header

PREFIX = "hf:"
_FILE = "config.json"
_SECONDS = 10.0
_MISSING = f"has no {_FILE} and no GGUF file"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?::([\w.-]+)|/([\w.+-]+(?:/[\w.+-]+)*\.gguf))?", re.ASCII)

T = TypeVar("T")


def read_hub(text: str) -> ModelSpec:
    """The model ``hf:ORG/NAME``, from the local cache of huggingface_hub or the network.

    A repository of GGUF files is one whose name ends in GGUF, one without a config.json, or one with a format or a file
    behind its name: ``hf:ORG/NAME:Q4_K_M``, ``hf:ORG/NAME/FILE.gguf``. Raises InputError for a malformed or unknown
    name, a gated repository, several files to choose from, no network, and when huggingface_hub is not installed.
    """
    if confined() is not None:
        raise InputError("model: a visitor's app opens no connections; name a model of the catalogue")
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None:
        form = f"of the form {PREFIX}ORG/NAME, {PREFIX}ORG/NAME:Q4_K_M or {PREFIX}ORG/NAME/FILE.gguf"
        raise InputError(f"model: '{plain(text)}' is not {form}")
    name, wanted = found[1], found[2] or found[3] or ""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise InputError("model: hf: names need the package huggingface_hub: pip install 'kvtui[hub]'") from None
    if wanted or name.lower().endswith("gguf"):
        return _read_gguf(name, wanted)
    from kvtui.engine.sources.hf.config import read_config

    path = _config(name)
    return _read_gguf(name, wanted) if path is None else read_config(path)


def _config(name: str) -> Path | None:
    """The config.json of the repository ``name``; None if it has none."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    try:
        return Path(hf_hub_download(name, _FILE, local_files_only=True))
    except (OSError, ValueError):
        pass

    def ask() -> Path | None:
        try:
            # The download alone would try again for half a minute, with warnings, where there is no network.
            get_hf_file_metadata(hf_hub_url(name, _FILE), timeout=_SECONDS)
            return Path(hf_hub_download(name, _FILE))
        except EntryNotFoundError:
            return None

    return _asked(name, ask)


def _read_gguf(name: str, wanted: str) -> ModelSpec:
    """The model in the GGUF file of the repository ``name`` that is ``wanted``, from the local cache where it is there.

    Without a network what the cache holds is all there is.
    """
    from kvtui.engine.sources.gguf.choice import choose
    from kvtui.engine.sources.gguf.model import Shelf, read_gguf, read_shelved

    where = f"model: {PREFIX}{name}"
    cached = _cached(name)
    sizes = {file: path.stat().st_size for file, path in cached.items()}
    if wanted and cached:
        try:
            return read_gguf(cached[choose(sizes, wanted, where)])
        except InputError:
            pass
    try:
        files = _asked(name, lambda: _listed(name))
    except InputError:
        if not cached:
            raise
        return read_gguf(cached[choose(sizes, wanted, where)])
    if not files:
        raise InputError(f"{where} {_MISSING}")
    folder = PurePosixPath(f"{PREFIX}{name}")

    def file_of(path: PurePosixPath) -> str:
        return str(path.relative_to(folder))

    shelf = Shelf[PurePosixPath](
        header=lambda path: _asked(name, lambda: _header(name, file_of(path), path), "has no such file"),
        has=lambda path: file_of(path) in files,
    )
    return read_shelved(folder / choose(files, wanted, where), shelf)


def _cached(name: str) -> Mapping[str, Path]:
    """The GGUF files of the repository ``name`` in the local cache, by their names in it."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(snapshot_download(name, local_files_only=True))
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*.gguf")) if path.exists()}
    except (OSError, ValueError):
        return {}


def _listed(name: str) -> Mapping[str, int]:
    """The GGUF files of the repository ``name`` with their bytes."""
    from huggingface_hub import HfApi

    told = HfApi().model_info(name, files_metadata=True, timeout=_SECONDS)
    return {one.rfilename: one.size or 0 for one in told.siblings or () if one.rfilename.endswith(".gguf")}


def _header(name: str, file: str, path: PurePosixPath) -> Header:
    """The header of a ``file`` of the repository ``name``."""
    from huggingface_hub import hf_hub_url

    from kvtui.engine.sources.gguf.container import read_from

    remote = _Remote(hf_hub_url(name, file))
    return read_from(remote, remote.size, path)


class _Remote:
    """A file behind an address, read from its beginning by ranges, each of a size that is asked for."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._position = 0
        self.size = self._range(0, 1)[1]

    def read(self, count: int) -> bytes:
        """At most the next ``count`` bytes, and none behind the end. Raises what the HTTP library does."""
        count = min(count, self.size - self._position)
        if count <= 0:
            return b""
        data, _ = self._range(self._position, count)
        self._position += len(data)
        return data

    def _range(self, start: int, count: int) -> tuple[bytes, int]:
        """``count`` bytes from ``start``, and the size of the whole file."""
        from huggingface_hub import get_session
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status  # type: ignore[attr-defined]

        headers = {**build_hf_headers(), "Range": f"bytes={start}-{start + count - 1}", "Accept-Encoding": "identity"}
        data = bytearray()
        with get_session().stream("GET", self._url, headers=headers, timeout=_SECONDS) as answer:
            hf_raise_for_status(answer)
            if answer.status_code != 206:
                raise ValueError("the server sends whole files only")
            whole = answer.headers.get("content-range", "").rpartition("/")[2]
            if not (whole.isascii() and whole.isdecimal()):
                raise ValueError("the server does not tell the size of its file")
            for piece in answer.iter_bytes():
                data += piece
                if len(data) >= count:
                    break
        return bytes(data[:count]), int(whole)


def _asked(name: str, ask: Callable[[], T], missing: str = _MISSING) -> T:
    """What ``ask`` gives of the repository ``name``. Raises InputError with the reason why there is no answer."""
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError

    try:
        return ask()
    except InputError:
        raise
    except GatedRepoError:
        why = "is gated; ask for access on its page and log in with `hf auth login`"
    except RepositoryNotFoundError:
        why = "is not on the Hub, or not public"
    except EntryNotFoundError:
        why = missing
    except Exception as error:  # noqa: BLE001  whatever the HTTP library in use raises
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        why = f"is not in the local cache and cannot be downloaded: {plain(reason, 160)}"
    raise InputError(f"model: {PREFIX}{plain(name)} {why}")
