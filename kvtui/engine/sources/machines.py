"""What machines were seen to keep beside the cache: overheads from boot logs, saved by name for later plans.

Each profile is a TOML file of its own in the folder ``profiles`` of the configuration folder.
"""

from __future__ import annotations

import os
import re

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.files import read_text, write_whole
from kvtui.engine.basis.places import config_dir
from kvtui.engine.basis.tables import Fields, parse_toml
from kvtui.engine.basis.units import MAX_BYTES
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.engines.known import ENGINES
from kvtui.engine.engines.overheads import Overheads

FOLDER = "profiles"
MAX_FILE_BYTES = 2**16
SIZES = ("weights", "activation", "graphs", "non_torch")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def profile_names() -> tuple[str, ...]:
    """The names of all saved profiles."""
    try:
        entries = os.listdir(os.path.join(config_dir(), FOLDER))
    except OSError:
        return ()
    names = (entry.removesuffix(".toml") for entry in entries if entry.endswith(".toml"))
    return tuple(sorted(name for name in names if _NAME.fullmatch(name)))


def check_name(name: str) -> None:
    """Raises InputError for a name that is no profile's."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"profile: '{plain(name)}' is not a name: letters, digits, dots, dashes and underscores, at most 64 of them"
        )


def save_profile(profile: Overheads) -> str:
    """Write ``profile`` under its name, whole or not at all, and return the path.

    A profile of that name is replaced. Raises InputError for a wrong name, and OSError when it cannot be written.
    """
    from pathlib import Path

    check_name(profile.name)
    folder = Path(config_dir()) / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{profile.name}.toml"
    write_whole(path, _toml(profile))
    return str(path)


def load_profile(name: str) -> Overheads:
    """The profile saved as ``name``. Raises UnknownName, or InputError when its file is wrong."""
    check_name(name)
    path = os.path.join(config_dir(), FOLDER, f"{name}.toml")
    where = plain(path, limit=400)
    try:
        text = read_text(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise UnknownName("profile", name, profile_names()) from None
    return _profile(name, Fields(parse_toml(text, where), where))


def measured_for(name: str, engine: str) -> Overheads:
    """The profile ``name`` for a plan with ``engine``.

    Raises UnknownName and InputError as ``load_profile`` does, and InputError for a profile of another engine.
    """
    profile = load_profile(name)
    if profile.engine not in ("", engine):
        raise InputError(f"profile: {name} was measured under {profile.engine}: it needs --engine {profile.engine}")
    return profile


def _toml(profile: Overheads) -> str:
    from json import dumps

    lines = ["# What a boot log says that an engine keeps beside the cache, in bytes per device."]
    texts = {key: getattr(profile, key) for key in ("engine", "weights_of")}
    lines += [f"{key} = {dumps(text, ensure_ascii=False)}" for key, text in texts.items() if text]
    sizes = {key: getattr(profile, key) for key in SIZES}
    lines += [f"{key}_bytes = {size}" for key, size in sizes.items() if size is not None]
    return "\n".join(lines) + "\n"


def _profile(name: str, fields: Fields) -> Overheads:
    sizes = {key: fields.maybe(fields.integer, f"{key}_bytes", least=0, most=MAX_BYTES) for key in SIZES}
    engine = fields.maybe(fields.choice, "engine", allowed=ENGINES[1:]) or ""
    found = Overheads(name, **sizes, engine=engine, weights_of=fields.maybe(fields.text, "weights_of") or "")
    fields.finish()
    return found
