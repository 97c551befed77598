"""How the quantities of a replay are written."""

from __future__ import annotations


def rounded(tokens: int) -> str:
    """Three digits are enough to choose by: 34.1 M."""
    if tokens < 10_000:
        return f"{tokens:,}"
    return f"{tokens / 1e6:,.3g} M" if tokens >= 1e6 else f"{tokens / 1e3:.3g} k"


def percent(share: float) -> str:
    """12.3 %."""
    return f"{100 * share:.1f} %"


def brief(seconds: float) -> str:
    """230 ms, 1.25 s; from ten minutes on as :func:`duration`."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 600 else duration(seconds)


def duration(seconds: float) -> str:
    """9.5 s, 3 min 20 s, 2 h 03 min."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"
