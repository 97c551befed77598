"""What stands in a request's blocks, as keys: equal keys mean the same tokens after the same prefix.

Engines hash the tokens of a block together with the hash of the block before. A replay needs no hashes, only their
equality, so a key is a number: handed out on first sight for prompts told token by token, computed for traces whose
own ids stand for whole prefixes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

TokenSpan = tuple[int, int]  # the tokens first, first + 1, …, first + length - 1, as (first, length)


class KeyBook:
    """Hands out one number per distinct (key before, tokens of the block)."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, tuple[TokenSpan, ...]], int] = {}

    def number(self, before: int, tokens: tuple[TokenSpan, ...]) -> int:
        """The key of a block with ``tokens`` that follows the block with key ``before`` (0: none)."""
        return self._numbers.setdefault((before, tokens), len(self._numbers) + 1)


def own_keys(request: int, first: int, last: int) -> NDArray[np.int64]:
    """The keys of blocks ``first`` to ``last`` - 1 that only the request of this number has; all are below 0."""
    return -(request << 32) - 1 - np.arange(first, last)


class PromptContent(Protocol):
    """The tokens of a prompt, as far as sharing needs to know them."""

    def keys(self, block: int, book: KeyBook) -> NDArray[np.int64]:
        """The keys of the whole blocks of ``block`` tokens; positive, and equal exactly where the prefixes agree."""
        ...


class Told(NamedTuple):
    """A prompt told token by token, in ``spans``: ((100, 40),) is the tokens 100 to 139."""

    spans: tuple[TokenSpan, ...]

    def keys(self, block: int, book: KeyBook) -> NDArray[np.int64]:
        """Keys from ``book``. Spans that follow on each other are one: (1, 8), (9, 8) holds what (1, 16) holds."""
        keys: list[int] = []
        before, inside, room = 0, list[TokenSpan](), block
        for first, length in self.spans:
            done = 0
            while done < length:
                taken = min(length - done, room)
                if inside and sum(inside[-1]) == first + done:
                    inside[-1] = (inside[-1][0], inside[-1][1] + taken)
                else:
                    inside.append((first + done, taken))
                done, room = done + taken, room - taken
                if not room:
                    before = book.number(before, tuple(inside))
                    keys.append(before)
                    inside, room = [], block
        return np.array(keys, dtype=np.int64)


class PrefixIds(NamedTuple):
    """A prompt of ``length`` tokens told by ``ids``, one per ``span`` tokens, each standing for the whole prefix.

    Public traces come so: Mooncake with spans of 512 tokens, Bailian with 16. Blocks that do not divide the span are
    keyed by all ids they touch, which tells the same.
    """

    ids: Sequence[int] | NDArray[np.int64]
    span: int
    length: int

    def keys(self, block: int, book: KeyBook) -> NDArray[np.int64]:
        """Where ``block`` divides the span: id times blocks per span, plus which of them. Else from ``book``."""
        whole = self.length // block
        if self.span % block:
            return Told(tuple(self._spans())).keys(block, book)
        share = self.span // block
        ids = np.asarray(self.ids, dtype=np.int64)
        return (ids[:, np.newaxis] * share + np.arange(1, share + 1)).reshape(-1)[:whole]

    def _spans(self) -> list[TokenSpan]:
        """The ids as tokens that no other id has; the last span ends with the prompt."""
        return [
            (id_ * self.span, min(self.span, self.length - at * self.span)) for at, id_ in enumerate(map(int, self.ids))
        ]


class Unknown(NamedTuple):
    """A prompt of which only the ``length`` is known: it shares with none."""

    length: int

    def keys(self, block: int, book: KeyBook) -> NDArray[np.int64]:
        """No keys: none of its blocks can be found by another request."""
        return np.empty(0, dtype=np.int64)
