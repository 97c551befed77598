"""Conditions on a snapshot, such as ``kv_used < 90 %``, for scripts that want an exit code."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.interval import TIMES, Interval
from kvtui.engine.live.snapshot import Snapshot

_CONDITION = re.compile(r"\s*([a-z_0-9]{1,40})\s*(<=|>=|<|>|=)\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*(%|ms|s)?\s*")
_UNITS = {"%": 0.01, "ms": 0.001, "s": 1.0, None: 1.0}
_COMPARED: Mapping[str, Callable[[float, float], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}


class Condition(NamedTuple):
    """A figure by its ``name``, how it is ``compared``, and the ``limit``, a share of 0 to 1 or in seconds."""

    name: str
    compared: str
    limit: float
    text: str


def figures(snapshot: Snapshot, interval: Interval) -> dict[str, float | None]:
    """The figures that a condition can name: shares of 0 to 1, counts, tokens per second, seconds."""
    pool = snapshot.pool
    gauges = [rank.gauges["used_share"] for rank in snapshot.ranks if "used_share" in rank.gauges]
    used = pool.used_share if pool.used_share is not None else max(gauges, default=None)
    return {
        "kv_used": used,
        "kv_cached": pool.cached_share,
        "running": snapshot.summed("running"),
        "waiting": snapshot.summed("waiting"),
        "preemptions": interval.preemptions,
        "hit_rate": interval.hit_rate,
        "tokens_per_second": interval.tokens_per_second,
        **{
            f"{name}_{part}": None if found is None else getattr(found, part)
            for name in TIMES
            for found in (getattr(interval, name),)
            for part in ("p50", "p95")
        },
    }


NAMES = tuple(figures(Snapshot(0.0, ""), Interval(0.0)))
"""What a condition can be about."""


def read_condition(text: str) -> Condition:
    """``text`` as a condition. Raises InputError for what is none, and UnknownName for a figure that is not there.

    Example: ``ttft_p95 <= 500 ms`` is ``Condition("ttft_p95", "<=", 0.5, ...)``.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise InputError(
            f"--check: '{plain(text, 60)}' is not a condition such as 'kv_used < 90 %' or 'ttft_p95 < 500 ms'"
        )
    name, compared, number, unit = match.groups()
    if name not in NAMES:
        raise UnknownName("figure", name, NAMES, listed=True)
    return Condition(name, compared, float(number) * _UNITS[unit], " ".join(text.split()))


def holds(condition: Condition, told: Mapping[str, float | None]) -> bool | None:
    """Whether ``condition`` holds of the figures ``told``; None where the server does not tell the figure."""
    value = told[condition.name]
    return None if value is None else _COMPARED[condition.compared](value, condition.limit)
