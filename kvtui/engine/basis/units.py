"""Bytes, tokens and rates: read them from text, write them for people.

Binary and decimal units are never mixed: GiB is 2**30 bytes, GB is 10**9 bytes. Token counts use K = 1024 and
M = 1024**2, the convention of context lengths ("128K" is 131,072 tokens).
"""

from __future__ import annotations

import re

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

KIB, MIB, GIB, TIB, PIB, EIB = 2**10, 2**20, 2**30, 2**40, 2**50, 2**60
GB = 10**9

MAX_TOKENS = 2**40
MAX_BYTES = 2**60
MAX_RATIO = 100.0
MAX_GBS = 10**9

_NUMBER = re.compile(r"([0-9][0-9_,]*)(?:\.([0-9]+))?\s*([A-Za-z]*)")
_RATE = re.compile(r"([0-9][0-9,]*\.?[0-9]*(?:e[+-]?[0-9]+)?)\s*(?:GB/s)?", re.IGNORECASE)
_TOKEN_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_BYTE_UNITS = {
    "": 1,
    "B": 1,
    "KIB": KIB,
    "MIB": MIB,
    "GIB": GIB,
    "TIB": TIB,
    "KB": 10**3,
    "MB": 10**6,
    "GB": GB,
    "TB": 10**12,
}


def parse_tokens(text: str, field: str = "context") -> int:
    """Tokens from ``131072``, ``131,072``, ``128K`` or ``1.5M``; at least 1, at most 2**40.

    Raises InputError naming ``field``.
    """
    return _parse(text, field, _TOKEN_UNITS, MAX_TOKENS, "a token count such as 131072, 128K or 1M")


def parse_bytes(text: str, field: str) -> int:
    """Bytes from ``5.33GiB``, ``24GB`` or a plain count, rounded down; at least 1.

    Raises InputError naming ``field``.
    """
    return _parse(text, field, _BYTE_UNITS, MAX_BYTES, "a size such as 5.33GiB, 24GB or 5723166720")


def parse_count(text: str, field: str, most: int) -> int:
    """A whole number from 1 to ``most``. Raises InputError naming ``field``."""
    return _parse(text, field, {"": 1}, most, f"a whole number from 1 to {most:,}", whole=True)


def parse_factor(text: str, field: str, most: float, least: float = 0.0) -> float:
    """A number above 0, from ``least`` to ``most``. Raises InputError naming ``field``."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= most or value < least:
        span = f"from {least:g} to {most:,.7g}" if least else f"above 0 and at most {most:g}"
        raise InputError(f"{field}: '{plain(text, 40)}' is not a number {span}")
    return value


def parse_gbs(text: str, field: str) -> float:
    """10**9 bytes per second from ``31``, ``3,350`` or ``31.4GB/s``; above 0. Raises InputError naming ``field``."""
    match = _RATE.fullmatch(text.strip()) if len(text) <= 40 else None
    value = float(match[1].replace(",", "")) if match else 0.0
    if not 0.0 < value <= MAX_GBS:
        raise InputError(
            f"{field}: '{plain(text)}' is not a rate in GB/s such as 31.4, above 0 and at most {MAX_GBS:,}"
        )
    return value


def _parse(text: str, field: str, units: dict[str, int], most: int, wanted: str, whole: bool = False) -> int:
    match = _NUMBER.fullmatch(text.strip()) if len(text) <= 40 else None
    unit = units.get(match[3].upper()) if match else None
    if match is None or unit is None:
        raise InputError(f"{field}: '{plain(text)}' is not {wanted}")
    decimals = match[2] or ""
    scale: int = 10 ** len(decimals)
    value, rest = divmod(int(match[1].replace(",", "").replace("_", "") + decimals) * unit, scale)
    if whole and rest:
        raise InputError(f"{field}: '{plain(text)}' is not {wanted}")
    if not 1 <= value <= most:
        raise InputError(f"{field}: {plain(text)} is out of range (1 to {most:,})")
    return value


def format_bytes(count: int, digits: int = 2) -> str:
    """``count`` bytes in the binary unit that keeps at least one digit before the point: ``15.00 GiB``."""
    units = (("EiB", EIB), ("PiB", PIB), ("TiB", TIB), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB))
    for unit, size in units:
        if abs(count) >= size:
            return f"{count / size:,.{digits}f} {unit}"
    return f"{count} B"


def format_tokens(count: int) -> str:
    """A token count as people name it: ``128K``, ``1M``, otherwise with thousands separators."""
    for unit, size in (("M", 2**20), ("K", 2**10)):
        if count >= size and count % size == 0:
            return f"{count // size:,}{unit}"
    return f"{count:,}"


def format_count(count: float) -> str:
    """A large count with three significant digits: ``8.03 B``, ``671 B``, ``32 M``."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= size:
            scaled = count / size
            return f"{scaled:.0f} {unit}" if scaled >= 100 else f"{scaled:.3g} {unit}"
    return f"{count:g}"


def counted(count: int, noun: str) -> str:
    """``1 device``, ``2 devices``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
