"""How the value of an option is spelt: read from the text that a person types, and written as such again.

What reading takes is imported when a value is read: the words of the command line are there without it.
"""

from __future__ import annotations

from kvtui.engine.basis.errors import InputError, UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from re import Pattern
    from typing import Any

    from kvtui.engine.device.spec import DeviceSpec
    from kvtui.engine.engines.known import Engine

    Read = Callable[[str, str], Any]
    Write = Callable[..., str | bool | None]

ON, OFF = ("on", "yes", "true", "1"), ("off", "no", "false", "0")


class Notation:
    """``read`` gives the value of a text, or raises InputError naming the option, its second argument.

    ``write`` gives the text (for a switch: on or off) of what the report shows of the option, None where there is none
    to give: ``TOKENS.read("128K", "context")`` is 131072, and ``TOKENS.write(131072)`` is ``131072``.
    """

    def __init__(self, read: Read, write: Write = str) -> None:
        self.read = read
        self.write = write


def count(most: int, write: Write = str) -> Notation:
    """A whole number from 1 to ``most``."""

    def read(text: str, name: str) -> int:
        from kvtui.engine.basis.units import parse_count

        return parse_count(text, name, most)

    return Notation(read, write)


def layers(most: int) -> Notation:
    """A number of layers from 0 to ``most``, or ``all`` for ``most``."""

    def read(text: str, name: str) -> int:
        from kvtui.engine.basis.units import parse_count

        word = text.strip().casefold()
        return 0 if word == "0" else most if word == "all" else parse_count(text, name, most)

    return Notation(read, lambda value: "all" if value == most else str(value))


def several(one: Notation, most: int, what: str) -> Notation:
    """At most ``most`` values of the notation ``one`` with commas between them; ``what`` is their name."""

    def read(text: str, name: str) -> tuple[Any, ...]:
        parts = text.split(",")
        if len(parts) > most:
            raise InputError(f"{name}: {len(parts):,} {what}, more than {most:,}")
        return tuple(one.read(part, name) for part in parts)

    return Notation(read, lambda values: ",".join(map(str, values)))


def unsaid(*_: object) -> None:
    """No text: other options say it."""


def _word(text: str, name: str) -> str:
    return text


def _tokens(text: str, name: str) -> int:
    from kvtui.engine.basis.units import parse_tokens

    return parse_tokens(text, name)


def _size(text: str, name: str) -> int:
    from kvtui.engine.basis.units import parse_bytes

    return parse_bytes(text, name)


def _built_in(size: int) -> str:
    return f"{size >> 30}GiB" if size % 2**30 == 0 else str(size)


def _share(text: str, name: str) -> float:
    from kvtui.engine.basis.units import parse_factor

    return parse_factor(text, name, most=1)


def _accepted(text: str, name: str) -> float:
    from pathlib import Path

    word = text.strip()
    try:
        share = float(word)
    except ValueError:
        from kvtui.engine.sources.acceptance import measured_acceptance

        return measured_acceptance(Path(word).expanduser())
    if not 0 <= share <= 1:
        raise InputError(f"{name}: {share:g} is not a share from 0 to 1")
    return share


def _what_if(text: str, name: str) -> str:
    if not text:
        return ""
    from kvtui.engine.model.what_if import read_what_if

    return read_what_if(text)


def _multiple(text: str, name: str) -> float:
    from kvtui.engine.basis.units import MAX_RATIO, parse_factor

    return parse_factor(text, name, MAX_RATIO)


def _fill(text: str, name: str) -> str:
    from kvtui.engine.scenario.scenario import AVERAGE, FULL

    word = text.strip().casefold()
    if word in (FULL, AVERAGE):
        return word
    digits = word.removesuffix("%").strip()
    if digits.isdecimal() and 1 <= int(digits) <= 100:
        return FULL if int(digits) == 100 else f"{int(digits)}%"
    raise UnknownName(f"value of {name}", text, (FULL, AVERAGE, "30%"), listed=True)


def _rate(text: str, name: str) -> float:
    from kvtui.engine.basis.units import parse_gbs

    return parse_gbs(text, name)


def _ratio(text: str, name: str) -> float:
    from kvtui.engine.basis.units import parse_gbs

    return 0.0 if text.strip() in ("0", "0.0") else parse_gbs(text, name)


def _ratios(text: str, name: str) -> tuple[float, ...]:
    found = tuple(_ratio(part, name) for part in text.split(","))
    if not any(found):
        raise InputError(f"{name}: no device has a share")
    return found


def _file_size(text: str, name: str) -> int:
    from pathlib import Path

    try:
        return Path(text).stat().st_size
    except (OSError, ValueError):
        return _size(text, name)


def _patterns(text: str, name: str) -> tuple[Pattern[str], ...]:
    from kvtui.engine.scenario.overrides import patterns

    return patterns(text, name)


def _device(text: str, name: str) -> DeviceSpec:
    from kvtui.engine.device.catalogue import find_device

    return find_device(text)


def _format(text: str, name: str) -> str:
    from kvtui.engine.model.formats import canonical

    return canonical(text)


def _state_format(text: str, name: str) -> str:
    from kvtui.engine.model.formats import STATE_FORMATS, canonical

    form = canonical(text)
    if form not in STATE_FORMATS:
        raise UnknownName(f"value of {name}", text, STATE_FORMATS)
    return form


def _all2all(text: str, name: str) -> str:
    from kvtui.engine.scenario.scenario import ALL2ALL_BACKENDS

    word = text.strip().casefold()
    if word not in ALL2ALL_BACKENDS:
        raise UnknownName(f"value of {name}", text, ALL2ALL_BACKENDS)
    return word


def _weights(text: str, name: str) -> str:
    from kvtui.engine.checkpoint.known import format_key

    return format_key(text)


def _format_word(name: str) -> str | None:
    from kvtui.engine.scenario.scenario import FILE_WEIGHTS

    return None if name == FILE_WEIGHTS else name


def _engine(text: str, name: str) -> Engine:
    from kvtui.engine.engines.known import parse_engine

    return parse_engine(text)


def _engine_word(name: str, version: str) -> str | None:
    if name == "none":
        return None
    return f"{name}@{version}" if version else name


def _switch(text: str, name: str) -> bool:
    word = text.casefold()
    if word not in ON + OFF:
        raise UnknownName(f"value of {name}", text, ("on", "off"))
    return word in ON


def _as_it_is(value: bool | None) -> bool | None:
    return value


WORD = Notation(_word)
TOKENS = Notation(_tokens)
SIZE = Notation(_size)
MEMORY = Notation(_size, _built_in)
SHARE = Notation(_share)
ACCEPTANCE = Notation(_accepted)
WHAT_IF = Notation(_what_if)
RATE = Notation(_rate)
RATIO = Notation(_multiple)
RATIOS = Notation(_ratios, lambda values: ",".join(f"{value:g}" for value in values))
FILE_SIZE = Notation(_file_size)
PATTERNS = Notation(_patterns)
DEVICE = Notation(_device)
FORMAT = Notation(_format)
STATE_FORMAT = Notation(_state_format)
ALL2ALL = Notation(_all2all)
WEIGHTS = Notation(_weights, _format_word)
ENGINE = Notation(_engine, _engine_word)
FILL = Notation(_fill)
SWITCH = Notation(_switch, _as_it_is)
