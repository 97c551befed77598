"""Bytes, bands, times and money as the text of a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10

from kvtui.engine.basis.units import GIB, format_bytes

SHORT_SECONDS = 120
HUGE = 10**6


def gib(count: int) -> str:
    """Bytes in GiB with two digits, from a million on without; less than that is ``<0.01``."""
    if count >= GIB * HUGE:
        return f"{(count + GIB // 2) // GIB:,}"
    return "<0.01" if 0 < count < GIB / 200 else f"{count / GIB:,.2f}"


def with_unit(count: int) -> str:
    """Bytes with their unit: in GiB as ``gib`` has them, and from a million GiB on in PiB or EiB."""
    return format_bytes(count) if count >= GIB * HUGE else f"{gib(count)} GiB"


def percent(count: int, whole: int) -> str:
    """``count`` in percent of ``whole`` with one digit, without the sign; outside of what that says, the limit."""
    share = 100 * count / whole
    if share >= HUGE:
        return f">{HUGE - 1:,}"
    return "<0.1" if 0 < share < 0.05 else f"{share:,.1f}"


def number(value: object) -> str:
    """A value of an explanation: integers exact with separators, other numbers to six digits."""
    match value:
        case bool() | str():
            return str(value)
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.6g}"
        case _:
            return "–"


def three_digits(value: float) -> str:
    """``value`` to three significant digits, without an exponent where it has a plain form."""
    if value == 0:
        return "0"
    magnitude = floor(log10(abs(value)))
    if magnitude < -4:
        return f"{value:.2e}"
    return f"{round(value, 2 - magnitude):,.{max(0, 2 - magnitude)}f}"


def dollars(value: float) -> str:
    """US dollars without their sign: cents from one cent to a thousand dollars, else three significant digits."""
    return f"{value:,.2f}" if 0.01 <= value < 1000 else three_digits(value)


def span(band: Sequence[float], scale: float = 1, shown: Callable[[float], str] = three_digits) -> str:
    """A band's two ends ÷ ``scale``, each as ``shown``; one number where they agree."""
    first, last = (shown(end / scale) for end in band)
    return first if first == last else f"{first}–{last}"


def band_text(band: Sequence[float], unit: str) -> str:
    """A band with its unit; dollars stand before the number."""
    return f"${span(band, shown=dollars)}" if unit == "$" else f"{span(band)} {unit}".rstrip()


def duration(band: Sequence[float]) -> str:
    """A band of milliseconds in the unit that suits its upper end."""
    for unit, size, least in (("h", 3.6e6, 2 * 3.6e6), ("min", 6e4, SHORT_SECONDS * 1e3), ("s", 1e3, 1e3)):
        if band[1] >= least:
            return f"{span(band, size)} {unit}"
    return f"{span(band)} ms"


def bank_label(span_size: int, banks: int) -> str:
    """What one cell of a picture stands for: ``one bank = 283.2 MiB``."""
    return f"one bank = {format_bytes(round(span_size / banks), 1)}"
