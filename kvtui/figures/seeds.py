"""Trained models that differ by their seed alone: one point with a spread, and no order where spreads overlap."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import wraps
from itertools import pairwise
from statistics import fmean
from typing import Any

from kvtui.figures.figure import Figure, Line, Mark, floats
from kvtui.figures.measured import ResultRow, ResultRows, ValueBand, ValueOf, number, word

BUNDLED = "These models came with kvtui: small ones, trained and timed on a shared two-core processor."
OWN_LOSS = "Losses are those of a whole fixed text; points are means over seeds."
OWN_SPEED = "Each length was timed in a full cache of just that length."
PUBLISHED_LOSS = (
    "A loss from one random micro-batch, as the published table has it, is noisy: small gaps are no difference."
)
PUBLISHED_SPEED = (
    "In the published table the steps were timed near the start of a full static cache, whatever the length says: "
    "its figures by length are one measurement."
)
MOST_PAIRS = 6


def marked(function: Callable[[ResultRows], Figure]) -> Callable[[ResultRows], Figure]:
    """``function`` with a word in the figure's title where its rows have a true column "bundled"."""

    @wraps(function)
    def drawn(rows: ResultRows) -> Figure:
        found = function(rows)
        if not any(row.get("bundled") for row in rows):
            return found
        return replace(found, title=f"{found.title} (bundled models)", notes=(BUNDLED, *found.notes))

    return drawn


def are_ours(rows: ResultRows) -> bool:
    """Whether the rows are our own benchmark's, whose columns go further than the published ones."""
    return any(row.get("machine") is not None for row in rows)


def loss_note(rows: ResultRows) -> str:
    """What must be known of the losses in ``rows``."""
    return OWN_LOSS if are_ours(rows) else PUBLISHED_LOSS


def speed_note(rows: ResultRows) -> str:
    """What must be known of the rates in ``rows``."""
    return OWN_SPEED if are_ours(rows) else PUBLISHED_SPEED


def by_seed(rows: Iterable[ResultRow]) -> list[dict[str, Any]]:
    """One row for models that differ by their seed alone: mean loss, its ``low`` and ``high``, number of ``seeds``."""
    apart: dict[object, list[ResultRow]] = {}
    for i, row in enumerate(rows):
        same = tuple(word(row, name) for name in ("type", "down_dim_kv", "family", "experts", "params_m"))
        apart.setdefault(i if row.get("seed") is None else same, []).append(row)
    return [_merged(members) for members in apart.values()]


def loss_band(row: ResultRow) -> ValueBand | None:
    """The loss of a row of ``by_seed``, from the least of its seeds to the largest."""
    loss = number(row, "val_loss")
    return None if loss is None else ValueBand(loss, number(row, "low"), number(row, "high"))


def bars(rows: ResultRows, x: ValueOf) -> tuple[Mark, ...]:
    """An upright line at ``x`` for each row of ``by_seed``, from the least loss of its seeds to the largest."""
    across: list[float | None] = []
    up: list[float | None] = []
    for row in rows:
        at, low, high = x(row), number(row, "low"), number(row, "high")
        if at is not None and low is not None and high is not None:
            across += [at, at, None]
            up += [low, high, None]
    return (Line("seeds, least to largest", floats(across), floats(up)),) if across else ()


def undecided(title: str, rows: ResultRows) -> tuple[str, ...]:
    """A note on neighbours in loss that cannot be put in order, because the losses of their seeds overlap."""
    known = [(spread.middle, spread, row) for row in rows if (spread := loss_band(row)) and spread.low and spread.high]
    known.sort(key=lambda one: one[0])
    pairs = [
        f"{word(a, 'run')} and {word(b, 'run')}"
        for (_, first, a), (_, second, b) in pairwise(known)
        if (second.low or 0) <= (first.high or 0)
    ]
    if not pairs:
        return ()
    more = f" and {len(pairs) - MOST_PAIRS} more" if len(pairs) > MOST_PAIRS else ""
    return (f"{title}: seeds overlap, so no order is told, of {'; '.join(pairs[:MOST_PAIRS])}{more}.",)


def _merged(members: list[ResultRow]) -> dict[str, Any]:
    losses = [loss for row in members if (loss := number(row, "val_loss")) is not None]
    first = dict(members[0])
    if len(members) < 2 or not losses:
        return first
    name = word(first, "run").rpartition("_s")[0] or first.get("run")
    spread = {"low": min(losses), "high": max(losses), "seeds": len(losses)}
    return {**first, "run": name, "val_loss": fmean(losses), **spread}
