"""How lines are read: patterns with what to take from a match, and what has been taken so far."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple, TypeVar

from kvtui.engine.basis.units import GIB
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.bootlog.observed import BootLog, LoggedBuffer, Size, size
from kvtui.engine.model.formats import canonical

NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)"
COUNT = r"([0-9]{1,3}(?:,[0-9]{3}){1,6}|[0-9]{1,19})"
COMMAND, ARGUMENTS, CONFIG, LINE = 1, 2, 3, 4
MOST_RANKS = 4096
MOST_BUFFERS = 4096
MOST_WORD = 400
UNSAID = ("", "None", "null", "auto")

_WHOLE = re.compile(COUNT)
_DECIMAL = re.compile(NUMBER)

T = TypeVar("T")


class Gathered:
    """What has been read so far of the latest start in a log; everything in it is bounded."""

    def __init__(self) -> None:
        self.recognised = 0
        self.starts = 1
        self._clear()

    def restart(self) -> None:
        """Another start begins: forget what an earlier one allocated. A start that allocated nothing goes on."""
        if self.sizes or self.buffers:
            self.starts += 1
            self._clear()

    def _clear(self) -> None:
        self.options: dict[str, tuple[int, str | bool]] = {}
        self.sizes: dict[str, dict[str, Size]] = {}
        self.counts: dict[str, dict[str, int]] = {}
        self.ratios: dict[str, dict[str, Fraction]] = {}
        self.words: dict[str, tuple[int, str]] = {}
        self.buffers: list[LoggedBuffer] = []
        self.contexts = 0
        self.next_kind = "KV"

    def option(self, key: str, value: str | bool | None, weight: int) -> None:
        """An option of the scenario; the weightiest statement wins, and of equals the first."""
        if value is not None and value not in UNSAID and weight > self.options.get(key, (0, ""))[0]:
            self.options[key] = weight, value

    def whole_option(self, key: str, text: str | None, weight: int) -> None:
        """An option that is a whole number; other text is as if it had not been there."""
        if text is not None and whole(text) is not None:
            self.option(key, text.replace(",", ""), weight)

    def decimal_option(self, key: str, text: str | None, weight: int) -> None:
        """An option that is a decimal; other text is as if it had not been there."""
        if text is not None and _DECIMAL.fullmatch(text):
            self.option(key, text, weight)

    def word(self, key: str, text: str | None, weight: int = LINE) -> None:
        """Text, made harmless; the weightiest statement wins, and of equals the first."""
        if text is not None and text not in UNSAID and weight > self.words.get(key, (0, ""))[0]:
            self.words[key] = weight, plain(text.strip(), MOST_WORD)

    def size(self, key: str, rank: str, size: Size) -> None:
        """A size that ``rank`` printed; a later one replaces it."""
        _put(self.sizes.setdefault(key, {}), rank, size)

    def add(self, key: str, rank: str, size: Size) -> None:
        """A size to be added to what ``rank`` printed before."""
        before = self.sizes.get(key, {}).get(rank, Size(0, 0))
        self.size(key, rank, before + size)

    def count(self, key: str, rank: str, text: str) -> None:
        """A whole number that ``rank`` printed; a later one replaces it, and other text is none."""
        count = whole(text)
        if count is not None:
            _put(self.counts.setdefault(key, {}), rank, count)

    def ratio(self, key: str, rank: str, text: str) -> None:
        """A decimal that ``rank`` printed; a later one replaces it."""
        _put(self.ratios.setdefault(key, {}), rank, Fraction(text))

    def buffer(self, buffer: LoggedBuffer) -> None:
        """One more cache."""
        if len(self.buffers) < MOST_BUFFERS:
            self.buffers.append(buffer)

    def found(self) -> set[str]:
        """The names of all that was found."""
        return {*self.options, *self.sizes, *self.counts, *self.ratios, *self.words, *(b.kind for b in self.buffers)}

    def log(self, engine: str, expected: Mapping[str, str]) -> BootLog:
        """All that was found; of ``expected``, what is missing by its name."""
        found = self.found()
        return BootLog(
            engine=engine,
            options={key: value for key, (_, value) in self.options.items()},
            sizes=self.sizes,
            counts={key: min(by_rank.values()) for key, by_rank in self.counts.items()},
            ratios={key: min(by_rank.values()) for key, by_rank in self.ratios.items()},
            words={key: text for key, (_, text) in self.words.items()},
            buffers=tuple(self.buffers),
            starts=self.starts,
            missing=tuple(what for key, what in expected.items() if key not in found),
        )


def _put(by_rank: dict[str, T], rank: str, value: T) -> None:
    if rank in by_rank or len(by_rank) < MOST_RANKS:
        by_rank[rank] = value


Take = Callable[[Gathered, re.Match[str], str], None]


class LogLine(NamedTuple):
    """A line worth reading: the ``marker`` that it must contain, its ``pattern``, and what to ``take`` from a match.

    ``take`` also gets the rank that printed the line. A ``folded`` one may be broken over several lines, anywhere after
    its marker: its pattern is searched for in the text without blanks.
    """

    marker: str
    pattern: re.Pattern[str]
    take: Take
    folded: bool = False

    def search(self, text: str) -> re.Match[str] | None:
        """Where the pattern is in ``text``, a line and some that follow it; None if it is not."""
        return self.pattern.search("".join(text.split()) if self.folded else text.partition("\n")[0])


class LogReader(NamedTuple):
    """How to read one engine's log: its ``lines``, what is ``expected`` of a whole log by name, and in words.

    ``looked_for`` are the words by which a person finds the lines that matter most. ``rank_of`` finds the process that
    printed a line, and ``settle`` draws conclusions from several lines at the end.
    """

    engine: str
    lines: tuple[LogLine, ...]
    expected: Mapping[str, str]
    looked_for: tuple[str, ...]
    rank_of: Callable[[str], str]
    settle: Callable[[Gathered], None]


def line(marker: str, pattern: str, take: Take) -> LogLine:
    """A ``LogLine`` whose pattern is searched for anywhere in a line, with any blanks where ``pattern`` has one."""
    return LogLine(marker, re.compile(pattern), take)


def folded(marker: str, pattern: str, take: Take) -> LogLine:
    """A ``LogLine`` that may be broken over several lines; the blanks in ``pattern`` are for its reader alone."""
    return LogLine(marker, re.compile(pattern.replace(" ", "")), take, folded=True)


def sizes(unit: int, *keys: str) -> Take:
    """Takes the groups of a match as sizes in ``unit`` bytes, one for each of ``keys``; groups without a match not."""

    def take(gathered: Gathered, match: re.Match[str], rank: str) -> None:
        for key, text in zip(keys, match.groups(), strict=True):
            if text:
                gathered.size(key, rank, size(text, unit))

    return take


def counts(*keys: str) -> Take:
    """Takes the groups of a match as whole numbers, one for each of ``keys``; groups without a match not."""

    def take(gathered: Gathered, match: re.Match[str], rank: str) -> None:
        for key, text in zip(keys, match.groups(), strict=True):
            if text:
                gathered.count(key, rank, text)

    return take


def torch_format(name: str) -> str:
    """kvtui's name of the format that torch calls ``name``, such as torch.float8_e4m3fn."""
    bare = name.removeprefix("torch.")
    if bare.startswith("float8"):
        return "fp8"
    return "nvfp4" if bare.startswith("float4") else canonical(bare)


def ratio(key: str) -> Take:
    """Takes the only group of a match as a decimal."""

    def take(gathered: Gathered, match: re.Match[str], rank: str) -> None:
        gathered.ratio(key, rank, match[1])

    return take


def option(key: str, value: str | bool | None = None) -> Take:
    """Takes the only group of a match, or a fixed ``value``, as an option of the scenario."""

    def take(gathered: Gathered, match: re.Match[str], rank: str) -> None:
        gathered.option(key, match[1].replace(",", "") if value is None else value, LINE)

    return take


def error(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """Takes the whole match as the reason why the server did not start."""
    gathered.word("error", match[0])


def _out_of_memory(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.word("error", match[0], CONFIG)
    gathered.size("total", rank, size(match[1], GIB))


def word(key: str, weight: int = LINE) -> Take:
    """Takes the only group of a match as text."""

    def take(gathered: Gathered, match: re.Match[str], rank: str) -> None:
        gathered.word(key, match[1], weight)

    return take


OUT_OF_MEMORY = line("total capacity of", rf"out of memory\..{{0,400}}?total capacity of {NUMBER} GiB", _out_of_memory)
"""Torch's own words, whichever engine runs on it; the capacity is what programs can allocate of a device."""


def whole(text: str) -> int | None:
    """The whole number that ``text`` is, as 300220 or 300,220; None for other text, such as 0.0, auto or 16,32."""
    return int(text.replace(",", "")) if _WHOLE.fullmatch(text) else None


def keywords(text: str, pattern: re.Pattern[str]) -> dict[str, str]:
    """``name=value`` and ``'name': value`` in ``text`` for the names of ``pattern``, the first of each, unquoted."""
    found: dict[str, str] = {}
    for match in pattern.finditer(text):
        found.setdefault(match[1], match[2].strip("'\""))
    return found


def keyword_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    """The pattern that ``keywords`` searches for."""
    value = r"'[^']{0,1000}'|\"[^\"]{0,1000}\"|[^\s,(){}\[\]'\"\\]{1,200}"
    return re.compile(rf"(?:\b|['\"])({'|'.join(names)})(?:=|['\"]:\s?)({value})")


_FLAG = re.compile(
    r"(?<!\S)(--?[A-Za-z][A-Za-z0-9_-]{0,60})(?:(?:=|\s{1,4})('[^']{0,2000}'|\"[^\"]{0,2000}\"|[^\s-]\S{0,1000}))?"
)


def flags(text: str) -> Iterator[tuple[str, str]]:
    """The flags of a command line in ``text`` with their values, empty for a switch; ``_`` in a flag becomes ``-``."""
    for match in _FLAG.finditer(text):
        yield match[1].replace("_", "-"), (match[2] or "").strip("'\"")
