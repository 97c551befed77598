"""Regular expressions from untrusted files, matched without backtracking.

A config.json may name modules by patterns such as ``.*self_attn.(q|k)_proj$``. Python's own engine can be made to run
for hours by a pattern of a few letters; here a node turns a set of positions into the set of positions after it, so
that the work is bounded by the lengths of pattern and text.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

MAX_LENGTH = 200
MAX_DEPTH = 8
MAX_NESTED_REPEATS = 2
MAX_TIMES = 100
MAX_TEXT = 200

_DIGITS = frozenset("0123456789")
_WORD = _DIGITS | frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
_SPACE = frozenset(" \t\n\r\f\v")
_CLASSES = {"d": _DIGITS, "w": _WORD, "s": _SPACE}


class _NotUnderstoodError(Exception):
    """What of a pattern is not understood."""


@dataclass(frozen=True, slots=True)
class _Letter:
    """One character of ``letters``, or of all others if ``negated``."""

    letters: frozenset[str]
    negated: bool = False

    def after(self, text: str, starts: set[int]) -> set[int]:
        return {at + 1 for at in starts if at < len(text) and (text[at] in self.letters) != self.negated}


@dataclass(frozen=True, slots=True)
class _Sequence:
    parts: tuple[_Node, ...]

    def after(self, text: str, starts: set[int]) -> set[int]:
        for part in self.parts:
            if not starts:
                break
            starts = part.after(text, starts)
        return starts


@dataclass(frozen=True, slots=True)
class _Choice:
    parts: tuple[_Node, ...]

    def after(self, text: str, starts: set[int]) -> set[int]:
        return {end for part in self.parts for end in part.after(text, starts)}


@dataclass(frozen=True, slots=True)
class _Repeat:
    """``part`` at least ``least`` times and at most ``most`` (None: any number of) times."""

    part: _Node
    least: int
    most: int | None

    def after(self, text: str, starts: set[int]) -> set[int]:
        for _ in range(self.least):
            if not starts:
                break
            starts = self.part.after(text, starts)
        reached, new, times = set(starts), starts, self.least
        while new and (self.most is None or times < self.most):
            new = self.part.after(text, new) - reached
            reached |= new
            times += 1
        return reached


@dataclass(frozen=True, slots=True)
class _Edge:
    """The beginning of the text, or its end."""

    end: bool

    def after(self, text: str, starts: set[int]) -> set[int]:
        return starts & {len(text) if self.end else 0}


@dataclass(frozen=True, slots=True)
class _Ahead:
    """A place where ``part`` follows, or does not if ``negated``."""

    part: _Node
    negated: bool

    def after(self, text: str, starts: set[int]) -> set[int]:
        return {at for at in starts if bool(self.part.after(text, {at})) != self.negated}


_Node = _Letter | _Sequence | _Choice | _Repeat | _Edge | _Ahead


@dataclass(frozen=True, slots=True)
class Regex:
    """A parsed regular expression; every text that matches has ``literal`` in it."""

    pattern: str
    root: _Node = field(compare=False)
    literal: str = field(compare=False)

    def match(self, text: str) -> bool:
        """Whether the beginning of ``text`` matches, as ``re.match`` has it; texts longer than MAX_TEXT never do."""
        return len(text) <= MAX_TEXT and self.literal in text and bool(self.root.after(text, {0}))


def parse_regex(pattern: str) -> Regex:
    """The untrusted ``pattern``. Raises InputError for what is not understood: back references, flags, look-behind."""
    if len(pattern) > MAX_LENGTH:
        raise InputError(f"pattern '{plain(pattern, 40)}' is longer than {MAX_LENGTH} characters")
    try:
        root = _Parser(pattern).whole()
        return Regex(pattern, root, _literal(root))
    except _NotUnderstoodError as error:
        raise InputError(f"pattern '{plain(pattern, 60)}': {error}") from None


class _Parser:
    """Recursive descent over one pattern."""

    def __init__(self, pattern: str) -> None:
        self._rest = pattern
        self._depth = 0

    def whole(self) -> _Node:
        found = self._choice()
        if self._rest:
            raise _NotUnderstoodError("a closing parenthesis too many")
        if _repeats(found) > MAX_NESTED_REPEATS:
            raise _NotUnderstoodError("too many repeats of repeats")
        return found

    def _choice(self) -> _Node:
        parts = [self._sequence()]
        while self._take("|"):
            parts.append(self._sequence())
        return parts[0] if len(parts) == 1 else _Choice(tuple(parts))

    def _sequence(self) -> _Node:
        parts: list[_Node] = []
        while self._rest and self._rest[0] not in "|)":
            parts.append(self._quantified(self._atom()))
        return _Sequence(tuple(parts))

    def _quantified(self, atom: _Node) -> _Node:
        times = self._times()
        if times is None:
            return atom
        if isinstance(atom, _Edge | _Ahead):
            raise _NotUnderstoodError("a repeated place")
        self._take("?")
        if self._times() is not None:
            raise _NotUnderstoodError("a repeated repeat")
        return _Repeat(atom, *times)

    def _times(self) -> tuple[int, int | None] | None:
        for sign, times in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._take(sign):
                return times
        if not self._take("{"):
            return None
        inside, closed, self._rest = self._rest.partition("}")
        low, comma, high = inside.partition(",")
        numbers = [text for text in (low, high) if text]
        if not closed or not low or not all(_number(text) for text in numbers):
            raise _NotUnderstoodError("braces that are no repeat")
        least, most = int(low), int(high) if high else None if comma else int(low)
        if least > MAX_TIMES or (most is not None and not least <= most <= MAX_TIMES):
            raise _NotUnderstoodError("a repeat out of range")
        return least, most

    def _atom(self) -> _Node:
        letter, self._rest = self._rest[0], self._rest[1:]
        match letter:
            case "(":
                return self._group()
            case "[":
                return self._letters()
            case ".":
                return _Letter(frozenset("\n"), negated=True)
            case "^" | "$":
                return _Edge(end=letter == "$")
            case "\\":
                return self._escaped()
            case "*" | "+" | "?" | "{" | "}" | "]":
                raise _NotUnderstoodError(f"'{letter}' where it has no meaning")
            case _:
                return _Letter(frozenset(letter))

    def _group(self) -> _Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _NotUnderstoodError("nested too deeply")
        ahead = None
        if self._take("?"):
            kind, self._rest = self._rest[:1], self._rest[1:]
            if kind not in (":", "=", "!") or not kind:
                raise _NotUnderstoodError("a group of an unknown kind")
            ahead = None if kind == ":" else kind == "!"
        inside = self._choice()
        if not self._take(")"):
            raise _NotUnderstoodError("a parenthesis that is not closed")
        self._depth -= 1
        return inside if ahead is None else _Ahead(inside, ahead)

    def _escaped(self) -> _Letter:
        letter, self._rest = self._rest[:1], self._rest[1:]
        if letter.lower() in _CLASSES and letter:
            return _Letter(_CLASSES[letter.lower()], letter.isupper())
        if not letter or letter.isalnum():
            raise _NotUnderstoodError("an unknown escape")
        return _Letter(frozenset(letter))

    def _letters(self) -> _Letter:
        negated = self._take("^")
        found: set[str] = set()
        first = True
        while first or not self._rest.startswith("]"):
            if not self._rest:
                raise _NotUnderstoodError("a bracket that is not closed")
            letter, self._rest = self._rest[0], self._rest[1:]
            first = False
            if letter == "\\":
                one = self._escaped()
                if one.negated:
                    raise _NotUnderstoodError("a negated class in brackets")
                found |= one.letters
            elif len(self._rest) > 1 and self._rest[0] == "-" and self._rest[1] != "]":
                last, self._rest = self._rest[1], self._rest[2:]
                if last == "\\" or not letter <= last or ord(last) - ord(letter) > 256:
                    raise _NotUnderstoodError("a range out of order")
                found |= {chr(code) for code in range(ord(letter), ord(last) + 1)}
            else:
                found.add(letter)
        self._take("]")
        return _Letter(frozenset(found), negated)

    def _take(self, text: str) -> bool:
        if not self._rest.startswith(text):
            return False
        self._rest = self._rest[len(text) :]
        return True


def _literal(root: _Node) -> str:
    """The longest run of single letters in a row of parts."""
    runs = [""]
    for part in root.parts if isinstance(root, _Sequence) else ():
        if isinstance(part, _Letter) and len(part.letters) == 1 and not part.negated:
            runs[-1] += next(iter(part.letters))
        else:
            runs.append("")
    return max(runs, key=len)


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 4


def _repeats(node: _Node) -> int:
    """The depth of repeats within repeats; what is there once or not at all is none."""
    match node:
        case _Repeat():
            return (node.most != 1) + _repeats(node.part)
        case _Sequence() | _Choice():
            return max(map(_repeats, node.parts), default=0)
        case _Ahead():
            return 1 + _repeats(node.part)
        case _:
            return 0
