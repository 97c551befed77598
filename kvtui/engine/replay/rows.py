"""The requests of a trace in arrays: 40 bytes each, and 8 for each prefix id, however long the trace is."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self, overload

import numpy as np
from numpy.typing import NDArray

from kvtui.engine.replay.content import PrefixIds, PromptContent, Unknown
from kvtui.engine.replay.request import Request

MOST_PLAIN_ID = 2**62


class TraceRow(NamedTuple):
    """A row as it was read: its ``number`` in the file, its ``time`` in the file's unit, tokens, and prefix ids."""

    number: int
    time: float
    prompt: int
    answer: int
    ids: Sequence[int | str] | None = None
    priority: int = 0


class RowTable:
    """Rows that come one by one. Ids may be of any size, or text; they are kept as what tells them apart."""

    def __init__(self) -> None:
        self.numbers, self.times = array("q"), array("d")
        self.prompts, self.answers, self.priorities = array("i"), array("i"), array("i")
        self.ids, self.ends = array("q"), array("q", [0])
        self._without_ids = 0
        self._odd: dict[int | str, int] = {}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def have_ids(self) -> bool:
        """Whether some row has prefix ids."""
        return self._without_ids < len(self)

    def append(self, row: TraceRow) -> None:
        """Add ``row`` at the end."""
        self.numbers.append(row.number)
        self.times.append(row.time)
        self.prompts.append(row.prompt)
        self.answers.append(row.answer)
        self.priorities.append(row.priority)
        if row.ids is None:
            self._without_ids += 1
        else:
            self.ids.extend(map(self._plain, row.ids))
        self.ends.append(len(self.ids))

    def shapes(self) -> Iterator[tuple[int, int, int]]:
        """Number, prompt tokens and how many ids of each row."""
        for at, number in enumerate(self.numbers):
            yield number, self.prompts[at], self.ends[at + 1] - self.ends[at]

    def _plain(self, one: int | str) -> int:
        """Whole numbers stand for themselves, all else for one below 0."""
        if isinstance(one, int) and 0 <= one < MOST_PLAIN_ID:
            return one
        return -1 - self._odd.setdefault(one, len(self._odd))


class RequestColumns(NamedTuple):
    """Requests in columns, in the order of their arrival; the ids of one are ``counts`` from ``firsts`` on."""

    numbers: NDArray[np.int64]
    arrivals: NDArray[np.float64]
    prompts: NDArray[np.int32]
    answers: NDArray[np.int32]
    priorities: NDArray[np.int32]
    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]

    def part(self, which: slice | NDArray[np.int64]) -> Self:
        """Some of them."""
        return type(self)(
            self.numbers[which],
            self.arrivals[which],
            self.prompts[which],
            self.answers[which],
            self.priorities[which],
            self.firsts[which],
            self.counts[which],
        )


class TraceRequests(Sequence[Request]):
    """The requests of a trace in the order of their arrival, made when they are asked for; slices share the arrays.

    Each of ``ids`` stands for ``span`` tokens, and for all before them.
    """

    def __init__(self, columns: RequestColumns, ids: NDArray[np.int64], span: int) -> None:
        self.columns = columns
        self.ids = ids
        self.span = span

    @classmethod
    def of_rows(cls, rows: RowTable, span: int, seconds: float) -> Self:
        """Of ``rows`` those that brought an answer; a unit of their times is ``seconds``."""
        answers, times = np.array(rows.answers, dtype=np.int32), np.array(rows.times)
        arrivals = (times - (times.min() if len(times) else 0.0)) * seconds
        order = np.argsort(arrivals, kind="stable")
        ends = np.array(rows.ends, dtype=np.int64)
        # Small numbers that are equal where the ids are: keys of blocks are made of them.
        _, ids = np.unique(np.array(rows.ids, dtype=np.int64), return_inverse=True)
        columns = RequestColumns(
            np.array(rows.numbers, dtype=np.int64),
            arrivals,
            np.array(rows.prompts, dtype=np.int32),
            answers,
            np.array(rows.priorities, dtype=np.int32),
            ends[:-1],
            np.diff(ends),
        )
        return cls(columns.part(order[answers[order] > 0]), ids, span)

    @classmethod
    def of_requests(cls, requests: Iterable[Request], span: int) -> Self:
        """The same of requests that are made one by one."""
        rows = RowTable()
        for number, one in enumerate(requests, start=1):
            ids = list(map(int, one.content.ids)) if isinstance(one.content, PrefixIds) else None
            rows.append(TraceRow(number, one.arrival, one.prompt, one.answer, ids, one.priority))
        return cls.of_rows(rows, span, 1.0)

    def __len__(self) -> int:
        return len(self.columns.numbers)

    @overload
    def __getitem__(self, at: int) -> Request: ...

    @overload
    def __getitem__(self, at: slice) -> Self: ...

    def __getitem__(self, at: int | slice) -> Request | Self:
        if isinstance(at, slice):
            return type(self)(self.columns.part(at), self.ids, self.span)
        number, arrival, prompt, answer, priority, first, count = (column[at].item() for column in self.columns)
        content: PromptContent = Unknown(prompt)
        if count:
            content = PrefixIds(self.ids[first : first + count], self.span, prompt)
        return Request(str(number), arrival, prompt, answer, content, priority)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TraceRequests):
            return NotImplemented
        same = all(
            np.array_equal(np.asarray(mine), np.asarray(its))
            for mine, its in zip(self.columns, other.columns, strict=True)
        )
        return same and self.span == other.span and np.array_equal(self.ids, other.ids)

    __hash__ = None  # type: ignore[assignment]

    def faster(self, times: float) -> Self:
        """The same requests, ``times`` as fast."""
        return type(self)(self.columns._replace(arrivals=self.columns.arrivals / times), self.ids, self.span)

    def from_start(self) -> Self:
        """The same requests, the first of them at 0."""
        arrivals = self.columns.arrivals
        return type(self)(self.columns._replace(arrivals=arrivals - arrivals[0]), self.ids, self.span)

    def resized(self, times: float) -> Self:
        """The same requests with prompts and answers ``times`` as long; a prefix id stands for as many tokens more."""
        span = max(1, round(self.span * times)) if self.span else 0
        prompts = _longer(self.columns.prompts, span / self.span if span else times)
        answers = _longer(self.columns.answers, times)
        return type(self)(self.columns._replace(prompts=prompts, answers=answers), self.ids, span)

    def rows(self) -> Iterator[TraceRow]:
        """All of them as rows, with times in seconds."""
        for one in self:
            ids = one.content.ids if isinstance(one.content, PrefixIds) else None
            told = None if ids is None else [int(id_) for id_ in ids]
            yield TraceRow(int(one.name), one.arrival, one.prompt, one.answer, told, one.priority)


def _longer(tokens: NDArray[np.int32], times: float) -> NDArray[np.int32]:
    """``tokens`` times ``times``, at least 1 and rounded up."""
    longer: NDArray[np.int32] = np.maximum(1, np.ceil(tokens * times - 1e-9)).astype(np.int32)
    return longer
