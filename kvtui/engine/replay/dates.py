"""Dates that a trace or a log states, as seconds since 1970. No clock is asked."""

from __future__ import annotations

from datetime import UTC, datetime


def seconds_of(text: str) -> float:
    """A date and a time as ISO 8601 has them, in UTC where no zone stands there; with any decimals of a second.

    Example: ``2023-11-16 18:15:46.6805900``. Raises ValueError for what is none.
    """
    date = datetime.fromisoformat(text.strip().replace(" UTC", "+00:00"))
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


def in_a_leap_year(month: int, day: int, hour: int, minute: int, second: int) -> float:
    """A moment of which the year is not told. Raises ValueError where no year has it."""
    return datetime(2024, month, day, hour, minute, second, tzinfo=UTC).timestamp()
