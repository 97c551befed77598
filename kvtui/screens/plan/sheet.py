"""What the Plan screen shows of a table: its order, its filter, and what is worked out next."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from threading import Lock
from typing import Literal, NamedTuple

from kvtui.engine.advice.matrix import (
    UNKNOWN,
    Matrix,
    MatrixAnswer,
    MatrixPlace,
    Metric,
    Piece,
    evaluate,
    pieces,
    places,
    sort_key,
)

Order = Literal["best first", "worst first"]


class Sorting(NamedTuple):
    """Rows by their answers in ``column`` (of the table), in an ``order``."""

    column: int
    order: Order = "best first"


class Sheet:
    """A table with the answers that are known so far."""

    def __init__(self, table: Matrix) -> None:
        self.table = table
        self.answers: dict[MatrixPlace, MatrixAnswer] = {}
        self._left = list(pieces(table))
        self._lock = Lock()
        self._first: tuple[Collection[int], Collection[int], int | None] | None = None

    @property
    def cells(self) -> int:
        """The number of cells of the table."""
        return len(self.table.rows) * len(self.table.columns)

    def take(self, rows: Collection[int], columns: Collection[int], sorted_by: int | None) -> Piece | None:
        """The next piece to work out: what is in sight first, then what the order needs. None when all is done.

        ``rows`` and ``columns`` are those in sight. Any thread may call this.
        """
        with self._lock:
            if self._first != (rows, columns, sorted_by):
                self._first = rows, columns, sorted_by
                self._left.sort(key=self._urgency, reverse=True)
            return self._left.pop() if self._left else None

    def work_out(self, piece: Piece) -> None:
        """Answer the cells of ``piece``, in any thread."""
        self.answers.update(zip(places(self.table, piece), evaluate(self.table, piece), strict=True))

    def rows(self, wanted: str, metric: Metric, sorting: Sorting | None) -> list[int]:
        """The rows that ``wanted`` names, in the order of ``sorting``."""
        shown = named(self.table.rows, wanted.partition("/")[0])
        if sorting is None:
            return shown
        keys = {row: sort_key(metric, self.answers.get((row, sorting.column))) for row in shown}
        if sorting.order == "worst first":
            keys = {row: _reversed(*key) for row, key in keys.items()}
        return sorted(shown, key=keys.__getitem__)

    def columns(self, wanted: str) -> list[int]:
        """The columns that ``wanted`` names behind its slash."""
        return named(self.table.columns, wanted.partition("/")[2])

    def _urgency(self, piece: Piece) -> tuple[int, int, int]:
        assert self._first is not None
        rows, columns, sorted_by = self._first
        if self.table.view == "models":
            in_sight = piece.line in rows and any(column in columns for column in piece.devices)
            orders = sorted_by in piece.devices
        else:
            in_sight = piece.line in columns and any(row in rows for row in piece.devices)
            orders = sorted_by == piece.line
        return 0 if in_sight else 1 if orders else 2, piece.line, piece.devices.start


def named(names: Sequence[str], wanted: str) -> list[int]:
    """The places of the ``names`` that have all words of one of the alternatives between commas; all for nothing."""
    choices = [choice.split() for choice in wanted.casefold().split(",") if choice.strip()]
    if not choices:
        return list(range(len(names)))
    return [
        place
        for place, name in enumerate(map(str.casefold, names))
        if any(all(word in name for word in choice) for choice in choices)
    ]


def _reversed(kind: int, value: float) -> tuple[int, float]:
    """The key of the order from behind, in which what has no figure still comes last."""
    return (kind, value) if kind >= UNKNOWN else (-kind, -value)
