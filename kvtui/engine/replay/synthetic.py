"""Made-up traces: sessions that arrive by chance, prompts that begin with shared ones, turns that build on each other.

A trace is told in one word, such as ``synthetic:requests=500,rate=2,arrivals=gamma:2,shared=4x512,turns=3,seed=7``. All
of it is optional. The same word gives the same trace: all chance comes from
the seed. Requests are made one by one, in the order of their arrival, so that a million of them need no room.

| key | what |
|---|---|
| requests, seed | how many, and what all chance comes from |
| rate | requests per second, on average |
| arrivals | ``constant``, ``poisson``, ``gamma:CV`` (gaps vary by CV of their mean), ``diurnal:PERIOD`` (in s) |
| prompt, answer | tokens of a turn: ``N``, ``A-B`` (any as likely), ``lognormal:MEDIAN:SIGMA``, ``exponential:MEAN`` |
| shared | ``COUNTxTOKENS`` system prompts, one of which begins each session |
| turns, think | turns of a session on average, and seconds between them |
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay.content import PrefixIds
from kvtui.engine.replay.request import Request
from kvtui.engine.replay.rows import TraceRequests
from kvtui.engine.replay.traces import MOST_REQUESTS, Trace

WORD = "synthetic"
SPAN = 16
MOST_PROMPT = 2**20
DEEP = 0.8
"""How far a diurnal rate swings about its mean."""


class Arrivals(NamedTuple):
    """A process of arrivals: its ``kind``, and the coefficient of variation (gamma) or the period in s (diurnal)."""

    kind: str = "poisson"
    value: float = 1.0


class LengthMix(NamedTuple):
    """A distribution of tokens: its ``kind`` with two values; see the module's table."""

    kind: str
    first: float
    second: float = 0.0

    def draw(self, chance: np.random.Generator) -> int:
        """One length, at least 1."""
        match self.kind:
            case "fixed":
                found = self.first
            case "uniform":
                found = float(chance.integers(int(self.first), int(self.second) + 1))
            case "exponential":
                found = chance.exponential(self.first)
            case _:
                found = self.first * math.exp(self.second * chance.standard_normal())
        return max(1, min(round(found), MOST_PROMPT))


class TrafficMix(NamedTuple):
    """What a made-up trace is like; see the module's table."""

    requests: int = 500
    rate: float = 2.0
    arrivals: Arrivals = Arrivals()
    prompt: LengthMix = LengthMix("lognormal", 800, 0.7)
    answer: LengthMix = LengthMix("lognormal", 200, 0.5)
    shared: int = 4
    shared_tokens: int = 512
    turns: float = 2.0
    think: float = 20.0
    seed: int = 1


def parse_mix(word: str) -> TrafficMix:
    """The mix that ``word`` tells, ``synthetic`` or ``synthetic:key=value,…``. Raises InputError and UnknownName."""
    _, _, rest = word.partition(":")
    found: dict[str, Any] = {}
    for part in rest.split(",") if rest else ():
        key, equals, value = part.strip().partition("=")
        if key not in _READERS:
            raise UnknownName("part of a synthetic trace", key, _READERS)
        if not equals:
            raise InputError(f"{WORD}: {key} needs a value, as in {key}=…")
        found |= _READERS[key](key, value.strip())
    return TrafficMix()._replace(**found)


def requests_of(mix: TrafficMix) -> Iterator[Request]:
    """The requests of ``mix``, one by one in the order of their arrival, from 0 on."""
    chance = np.random.default_rng(mix.seed)
    sessions = _starts(mix, chance)
    systems = mix.shared_tokens // SPAN
    free = mix.shared * systems
    number = 0
    upcoming: list[tuple[float, int, _Session]] = []
    start = next(sessions)
    opened = 0
    while number < mix.requests:
        while not upcoming or start <= upcoming[0][0]:
            turns = int(chance.geometric(1 / mix.turns)) if mix.turns > 1 else 1
            which = int(chance.integers(mix.shared)) if mix.shared else 0
            opened += 1
            heapq.heappush(upcoming, (start, opened, _Session(turns, which, mix.shared_tokens if mix.shared else 0)))
            start = next(sessions)
        arrival, order, session = heapq.heappop(upcoming)
        session.tokens += mix.prompt.draw(chance)
        answer = mix.answer.draw(chance)
        if session.tokens > MOST_PROMPT:
            continue
        whole = session.tokens // SPAN
        own = whole - len(session.ids)
        if not session.ids:
            session.ids = list(range(session.system * systems, session.system * systems + min(systems, whole)))
            own = whole - len(session.ids)
        session.ids += range(free, free + own)
        free += own
        ids = list(session.ids)
        if session.tokens % SPAN:
            ids.append(free)
            free += 1
        number += 1
        yield Request(str(number), arrival, session.tokens, answer, PrefixIds(ids, SPAN, session.tokens))
        session.turns -= 1
        session.tokens += answer
        if session.turns:
            heapq.heappush(upcoming, (arrival + float(chance.exponential(mix.think)), order, session))


def synthetic_trace(word: str) -> Trace:
    """The whole trace that ``word`` tells."""
    return Trace(WORD, "s", SPAN, TraceRequests.of_requests(requests_of(parse_mix(word)), SPAN))


class _Session:
    """``turns`` to come; the ids of its whole blocks so far, and its tokens, which begin with those of a system."""

    __slots__ = ("ids", "system", "tokens", "turns")

    def __init__(self, turns: int, system: int, tokens: int) -> None:
        self.turns = turns
        self.system = system
        self.tokens = tokens
        self.ids: list[int] = []


def _starts(mix: TrafficMix, chance: np.random.Generator) -> Iterator[float]:
    """When sessions begin: as many as their turns make the rate."""
    mean = max(mix.turns, 1.0) / mix.rate
    now = 0.0
    while True:
        yield now
        match mix.arrivals.kind:
            case "constant":
                now += mean
            case "gamma":
                shape = 1 / mix.arrivals.value**2
                now += float(chance.gamma(shape, mean / shape))
            case "diurnal":
                while True:
                    now += float(chance.exponential(mean / (1 + DEEP)))
                    wave = 1 + DEEP * math.sin(2 * math.pi * now / mix.arrivals.value)
                    if chance.random() * (1 + DEEP) < wave:
                        break
            case _:
                now += float(chance.exponential(mean))


def _number(key: str, word: str, least: float, most: float) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise InputError(f"{WORD}: {key} is '{plain(word, 40)}', not a number from {least:g} to {most:,.10g}")
    return value


def _lengths(key: str, word: str) -> dict[str, Any]:
    kind, *values = word.split(":")
    uniform = re.fullmatch(r"([0-9]{1,8})-([0-9]{1,8})", word)
    if uniform and 1 <= int(uniform[1]) <= int(uniform[2]) <= MOST_PROMPT:
        return {key: LengthMix("uniform", int(uniform[1]), int(uniform[2]))}
    if kind == "lognormal" and len(values) == 2:
        return {key: LengthMix(kind, _number(key, values[0], 1, MOST_PROMPT), _number(key, values[1], 0, 5))}
    if kind == "exponential" and len(values) == 1:
        return {key: LengthMix(kind, _number(key, values[0], 1, MOST_PROMPT))}
    if word.isdecimal() and 1 <= int(word) <= MOST_PROMPT:
        return {key: LengthMix("fixed", int(word))}
    forms = "800, 100-900, lognormal:800:0.7 or exponential:800"
    raise InputError(f"{WORD}: {key} is '{plain(word, 40)}', not a distribution of tokens such as {forms}")


def _arrivals(key: str, word: str) -> dict[str, Any]:
    kind, _, value = word.partition(":")
    if kind in ("constant", "poisson") and not value:
        return {key: Arrivals(kind)}
    if kind == "gamma":
        return {key: Arrivals(kind, _number(key, value, 0.05, 20))}
    if kind == "diurnal":
        return {key: Arrivals(kind, _number(key, value or "86400", 1, 1e8))}
    raise InputError(f"{WORD}: {key} is '{plain(word, 40)}', not constant, poisson, gamma:2 or diurnal:86400")


def _shared(key: str, word: str) -> dict[str, Any]:
    match = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,7})", word)
    if match is None or int(match[2]) > MOST_PROMPT:
        raise InputError(f"{WORD}: {key} is '{plain(word, 40)}', not system prompts such as 4x512")
    return {key: int(match[1]), "shared_tokens": int(match[2])}


_READERS: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "requests": lambda key, word: {key: int(_number(key, word, 1, MOST_REQUESTS))},
    "rate": lambda key, word: {key: _number(key, word, 1e-6, 1e6)},
    "arrivals": _arrivals,
    "prompt": _lengths,
    "answer": _lengths,
    "shared": _shared,
    "turns": lambda key, word: {key: _number(key, word, 1, 1000)},
    "think": lambda key, word: {key: _number(key, word, 0, 1e6)},
    "seed": lambda key, word: {key: int(_number(key, word, 0, 2**53))},
}
