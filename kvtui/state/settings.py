"""Preferences: from flags, the environment and ``config.toml``, in this order, each value checked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from kvtui.canvas.pixels.terminal import PROTOCOLS
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.files import read_text, write_whole
from kvtui.engine.basis.places import config_dir
from kvtui.engine.basis.tables import Fields, parse_toml
from kvtui.engine.basis.untrusted import plain
from kvtui.state.keys import ALL, WINDOW, clash

FILE = "config.toml"
MAX_FILE_BYTES = 2**20
MOTIONS = ("full", "reduced", "none")
PALETTES = ("auto", "rgb", "ansi", "mono")
PIXELS = ("auto", "off", *PROTOCOLS)
DEFAULT_THEME = "kvtui-dark"
MAX_FPS = 60
LOCAL_FPS, REMOTE_FPS = 20, 10
ENVIRONMENT = {"theme": "KVTUI_THEME", "motion": "KVTUI_MOTION", "fps": "KVTUI_FPS", "pixels": "KVTUI_PIXELS"}

_KEY_NAME = re.compile(r"\S{1,40}")


@dataclass(frozen=True, slots=True)
class Settings:
    """The preferences in force.

    ``fps`` is frames per second, 0 for steps by key only. ``palette`` says how pictures are coloured: as the terminal
    can, in 24-bit colours, in the terminal's sixteen, or not at all. ``pixels``: whether pictures are drawn in the
    terminal's own pixels where it has some, and by which protocol. ``remember``: the app opens where it was left.
    ``keymap`` gives keys to the ids of the help.
    """

    theme: str = DEFAULT_THEME
    motion: str = "full"
    fps: int = LOCAL_FPS
    ascii: bool = False
    palette: str = "auto"
    remember: bool = True
    pixels: str = "auto"
    keymap: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def load(flags: Mapping[str, object], themes: Collection[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings that ``flags``, ``environ`` and the file say.

    ``flags`` are theme, motion, fps, pixels and ascii, as text; None or absent: not given.

    ``themes`` are the names a theme can have. Raises InputError, one line, that names the flag, the variable or the
    file and its key.
    """
    remote = environ.get("SSH_CONNECTION") or environ.get("SSH_TTY")
    found: dict[str, Any] = {"fps": REMOTE_FPS if remote else LOCAL_FPS}
    found |= _read_file(Path(config_dir()) / FILE, themes)
    for name, variable in ENVIRONMENT.items():
        if environ.get(variable):
            found[name] = _CHECKS[name](variable, environ[variable], themes)
    if environ.get("NO_COLOR"):
        found["palette"] = "mono"
    for name, check in _CHECKS.items():
        given = flags.get(name)
        if isinstance(given, str):
            found[name] = check(f"--{name}", given, themes)
    if flags.get("ascii"):
        found["ascii"] = True
    return Settings(**found)


def save(key: str, value: str) -> None:
    """Set ``key`` in the user's file, and leave its other lines and comments as they are.

    Raises OSError when the file cannot be written, InputError when it cannot be read.
    """
    from tomllib import loads

    from tomli_w import dumps

    path = Path(config_dir()) / FILE
    text = read_text(path, MAX_FILE_BYTES) if path.exists() else ""
    wanted = parse_toml(text, plain(str(path), limit=400)) | {key: value}
    line = dumps({key: value})
    head, separator, tables = _before_tables(text)
    edited, count = re.subn(rf"(?m)^[ \t]*{re.escape(key)}[ \t]*=.*\n?", lambda _: line, head, count=1)
    edited = (edited if count else line + head) + separator + tables
    try:
        as_wanted = loads(edited) == wanted
    except ValueError:
        as_wanted = False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, edited if as_wanted else dumps(wanted))


def _before_tables(text: str) -> tuple[str, str, str]:
    """``text`` up to its first table, and from there on."""
    first = re.search(r"(?m)^[ \t]*\[", text)
    at = first.start() if first else len(text)
    return text[:at], "" if not first or text[:at].endswith("\n") or not at else "\n", text[at:]


def _read_file(path: Path, themes: Collection[str]) -> dict[str, Any]:
    if not path.exists():
        return {}
    where = plain(str(path), limit=400)
    fields = Fields(parse_toml(read_text(path, MAX_FILE_BYTES), where), where)
    readers: dict[str, Callable[[str], Any]] = {
        "theme": lambda key: _theme(f"{where}: {key}", fields.text(key), themes),
        "motion": lambda key: fields.choice(key, MOTIONS),
        "fps": lambda key: fields.integer(key, least=0, most=MAX_FPS),
        "ascii": fields.flag,
        "palette": lambda key: fields.choice(key, PALETTES),
        "pixels": lambda key: fields.choice(key, PIXELS),
        "remember": fields.flag,
        "keymap": lambda key: _keymap(fields.table(key)),
    }
    found = {key: value for key, read in readers.items() if (value := fields.maybe(read, key)) is not None}
    fields.finish()
    return found


def _keymap(table: Fields) -> Mapping[str, str]:
    """Keys by id.

    Raises InputError for an unknown id, something that is no key, a key with two meanings, or a letter for a window,
    where letters are typed.
    """
    given = {key.id: keys for key in ALL if (keys := table.maybe(table.text, key.id)) is not None}
    table.finish()
    in_windows = {key.id for key in WINDOW}
    for name, keys in given.items():
        for part in keys.split(","):
            if not _KEY_NAME.fullmatch(part.strip()):
                raise table.error(name, f"'{plain(keys)}' is not a key, or keys separated by commas, such as ctrl+x,f2")
            if name in in_windows and _typed(part.strip()):
                raise table.error(name, f"'{plain(part.strip())}' would be typed there; take one such as ctrl+x or f2")
    if twice := clash(given):
        key_name, one, other = twice
        raise table.error(other if other in given else one, f"'{plain(key_name)}' would mean both {one} and {other}")
    return MappingProxyType(given)


def _typed(key: str) -> bool:
    """Whether ``key`` is one that puts a character into a line of text."""
    from textual.keys import key_to_character

    character = key_to_character(key)
    return character is not None and character.isprintable()


def _theme(where: str, text: str, themes: Collection[str]) -> str:
    if text not in themes:
        raise InputError(f"{where}: {UnknownName('theme', text, themes)}")
    return text


def _motion(where: str, text: str, themes: Collection[str]) -> str:
    if text not in MOTIONS:
        raise InputError(f"{where}: '{plain(text)}' is not one of {', '.join(MOTIONS)}")
    return text


def _pixels(where: str, text: str, themes: Collection[str]) -> str:
    if text not in PIXELS:
        raise InputError(f"{where}: '{plain(text)}' is not one of {', '.join(PIXELS)}")
    return text


def _fps(where: str, text: str, themes: Collection[str]) -> int:
    value = int(text) if re.fullmatch("[0-9]{1,3}", text) else -1
    if not 0 <= value <= MAX_FPS:
        raise InputError(f"{where}: '{plain(text)}' is not a whole number from 0 to {MAX_FPS}")
    return value


_CHECKS: dict[str, Callable[[str, str, Collection[str]], Any]] = {
    "theme": _theme,
    "motion": _motion,
    "fps": _fps,
    "pixels": _pixels,
}
