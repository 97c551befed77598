"""Text as token ids: one for each character, or byte-pair encoding (Sennrich et al. 2016).

Both begin with the same alphabet: id 0 for what is unknown, then tab, newline and printable ASCII, then what else the
training text has most. Byte-pair encoding joins the commonest pair of neighbours within words, again and again. A word
is a run of letters, digits or other signs with the one space before it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from kvtui.engine.basis.errors import InputError

Ids = npt.NDArray[np.int32]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
ALWAYS = (UNKNOWN, "\t", "\n", *map(chr, range(32, 127)))
MOST_CHARACTERS, MOST_TOKENS, MOST_TOKEN_LENGTH = 256, 65_536, 64
_WORD = re.compile(r" ?[^\W\d_]+| ?\d+| ?[^\w\s]+|\s|_+")


class Tokenizer:
    """Tokens by id, characters first; the others are the ``merges`` of two earlier ones, in order."""

    def __init__(self, characters: Sequence[str], merges: Sequence[tuple[int, int]] = ()) -> None:
        self.characters, self.merges = tuple(characters), tuple(merges)
        self.texts = list(characters)
        for left, right in merges:
            self.texts.append(self.texts[left] + self.texts[right])
        self._ids = {text: i for i, text in enumerate(characters)}
        self._ranks = {pair: i for i, pair in enumerate(merges)}
        self._known: dict[str, list[int]] = {}

    def __len__(self) -> int:
        return len(self.texts)

    def encode(self, text: str) -> Ids:
        """The ids of ``text``."""
        if not self.merges:
            return np.array([self._ids.get(c, 0) for c in text], np.int32)
        return np.array([one for word in _WORD.findall(text) for one in self._word(word)], np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``."""
        return "".join(self.texts[int(one)] for one in ids)

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` reads."""
        return {"characters": "".join(self.characters), "merges": [list(pair) for pair in self.merges]}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tokenizer:
        """The tokenizer of ``to_json``. Raises InputError for anything else."""
        characters, merges = values.get("characters"), values.get("merges")
        if not isinstance(characters, str) or not isinstance(merges, list) or characters[:1] != UNKNOWN:
            raise InputError("tokens: not a vocabulary of kvtui")
        lengths = [1] * len(characters)
        if len(set(characters)) != len(characters) or len(characters) + len(merges) > MOST_TOKENS:
            raise InputError("tokens: a character that is there twice, or too many tokens")
        for pair in merges:
            match pair:
                case [int() as left, int() as right] if 0 <= left < len(lengths) and 0 <= right < len(lengths):
                    lengths.append(lengths[left] + lengths[right])
                case _:
                    raise InputError("tokens: a merge of what is not there")
            if lengths[-1] > MOST_TOKEN_LENGTH:
                raise InputError(f"tokens: one of more than {MOST_TOKEN_LENGTH} characters")
        return cls(characters, [(left, right) for left, right in merges])

    def _word(self, word: str) -> list[int]:
        found = self._known.get(word)
        if found is None:
            found = [self._ids.get(c, 0) for c in word]
            while len(found) > 1:
                rank, at = min((self._ranks.get(pair, MOST_TOKENS), i) for i, pair in enumerate(pairwise(found)))
                if rank == MOST_TOKENS:
                    break
                found[at : at + 2] = [len(self.characters) + rank]
            self._known[word] = found
        return found


def characters_of(text: str) -> Tokenizer:
    """One token for each character, 256 at most."""
    others = Counter(text)
    for c in ALWAYS:
        del others[c]
    more = sorted(others, key=lambda c: (-others[c], c))[: MOST_CHARACTERS - len(ALWAYS)]
    return Tokenizer((*ALWAYS, *more))


def byte_pairs_of(text: str, vocab: int) -> Tokenizer:
    """At most ``vocab`` tokens, learnt from ``text``; no pair that is there but once becomes one."""
    base = characters_of(text)
    words = Counter(_WORD.findall(text))
    spelled = [(base.encode(word).tolist(), count) for word, count in words.items()]
    merges: list[tuple[int, int]] = []
    lengths = [1] * len(base)
    while len(lengths) < vocab:
        pairs: Counter[tuple[int, int]] = Counter()
        for ids, count in spelled:
            for pair in pairwise(ids):
                if 0 not in pair and lengths[pair[0]] + lengths[pair[1]] <= MOST_TOKEN_LENGTH:
                    pairs[pair] += count
        best = min(pairs, key=lambda pair: (-pairs[pair], pair), default=None)
        if best is None or pairs[best] < 2:
            break
        new = len(lengths)
        merges.append(best)
        lengths.append(lengths[best[0]] + lengths[best[1]])
        for ids, _ in spelled:
            _join(ids, best, new)
    return Tokenizer(base.characters, merges)


def _join(ids: list[int], pair: tuple[int, int], new: int) -> None:
    at = 0
    while at < len(ids) - 1:
        if ids[at] == pair[0] and ids[at + 1] == pair[1]:
            ids[at : at + 2] = [new]
        at += 1
