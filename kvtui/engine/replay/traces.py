"""Traces: requests with the moments at which they arrived, in the forms in which they are published.

| form | file | times | prefixes |
|---|---|---|---|
| mooncake | JSON lines: timestamp, input_length, output_length, hash_ids | ms | an id per 512 tokens |
| bailian | JSON lines: chat_id, timestamp, input_length, output_length, hash_ids | s | an id per 16 tokens |
| aiperf | JSON lines by any name of AIPerf and aisimulate; ``delay`` after the row before | ms | perhaps |
| azure | CSV: TIMESTAMP, ContextTokens, GeneratedTokens | date | none |
| burstgpt | CSV: Timestamp, Model, Request tokens, Response tokens, Total tokens, Log Type | s | none |

How many tokens an id stands for is not said in the files; it follows from the rows: ``n`` ids for ``L`` tokens mean at
least L/n and less than L/(n-1). Rows that leave no number are malformed.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay.content import PrefixIds, PromptContent, Unknown
from kvtui.engine.replay.request import Request

MOST_TOKENS = 2**24
MOST_IDS = 2**20
MOST_ID = 128
MOST_REQUESTS = 4_000_000
MOST_LINE = 2**20

_MS_PER_S = 1000
_SPANS = (512, 16)
_ARRIVAL = ("timestamp", "created_time")
_PROMPT = ("input_length", "input_tokens")
_ANSWER = ("output_length", "output_tokens")
_DELAY = ("delay", "delay_ms")
_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_BURSTGPT = ("Timestamp", "Request tokens", "Response tokens")


class Trace(NamedTuple):
    """``requests`` in the order of their arrival, in seconds after the first.

    ``form`` is one of the table above, ``unit`` the unit of its times, ``span`` the tokens of one prefix id (0: it has
    none), ``unanswered`` the rows left out because they brought no answer.
    """

    form: str
    unit: str
    span: int
    requests: tuple[Request, ...]
    unanswered: int = 0


class _Row(NamedTuple):
    number: int
    time: float
    prompt: int
    answer: int
    ids: array[int] | None


def read_trace(lines: Iterable[str], where: str, span: int | None = None) -> Trace:
    """The trace in ``lines``; ``span`` where the rows allow several numbers of tokens per id.

    Raises InputError, which names ``where`` and the row that is wrong.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise InputError(f"{where}: is empty")
    rest = _with_first(first, numbered)
    if first[1].lstrip().startswith("{"):
        form, unit, rows = _json_rows(rest, where)
    else:
        form, unit, rows = _csv_rows(rest, where)
    found = _span(rows, where, span) if any(row.ids is not None for row in rows) else 0
    start = min((row.time for row in rows), default=0.0)
    requests = [
        Request(str(row.number), (row.time - start), row.prompt, row.answer, _content(row, found))
        for row in rows
        if row.answer
    ]
    if not requests:
        raise InputError(f"{where}: none of its {len(rows):,} rows has an answer")
    requests.sort(key=lambda request: request.arrival)
    return Trace(form, unit, found, tuple(requests), len(rows) - len(requests))


def _with_first(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _content(row: _Row, span: int) -> PromptContent:
    return Unknown(row.prompt) if row.ids is None else PrefixIds(row.ids, span, row.prompt)


def _json_rows(lines: Iterator[tuple[int, str]], where: str) -> tuple[str, str, list[_Row]]:
    """Rows of JSON lines. Times are seconds where they have chat ids or fractions, else milliseconds."""
    rows, chats, last = list[_Row](), False, 0.0
    fractions, known = False, dict[Any, int]()
    for number, line in lines:
        at = f"{where}: row {number}"
        values = _object(line, at)
        chats = chats or "chat_id" in values
        time = _maybe(values, _ARRIVAL)
        if time is None:
            time = last + _number(_needed(values, (*_DELAY, *_ARRIVAL), at), "delay", at)
        last = _number(time, "timestamp", at)
        fractions = fractions or not last.is_integer()
        ids = values.get("hash_ids")
        rows.append(
            _Row(
                number,
                last,
                _tokens(_needed(values, _PROMPT, at), _PROMPT[0], at),
                _tokens(_needed(values, _ANSWER, at), _ANSWER[0], at, least=0),
                None if ids is None else _ids(ids, known, at),
            )
        )
        _count(rows, where)
    seconds = chats or fractions
    form = "bailian" if chats else "mooncake" if rows[0].ids is not None else "aiperf"
    if not seconds:
        rows = [row._replace(time=row.time / _MS_PER_S) for row in rows]
    return form, "s" if seconds else "ms", rows


def _csv_rows(lines: Iterator[tuple[int, str]], where: str) -> tuple[str, str, list[_Row]]:
    numbers: list[int] = []

    def texts() -> Iterator[str]:
        for number, line in lines:
            numbers.append(number)
            yield line

    reader = csv.DictReader(texts())
    heads = [head.strip() for head in reader.fieldnames or ()]
    reader.fieldnames = heads
    if set(_AZURE) <= set(heads):
        form, unit, names = "azure", "date", _AZURE
    elif set(_BURSTGPT) <= set(heads):
        form, unit, names = "burstgpt", "s", _BURSTGPT
    else:
        known = f"{', '.join(_AZURE)} (Azure) or {', '.join(_BURSTGPT)} (BurstGPT), or one JSON object per line"
        raise InputError(f"{where}: row 1: a trace has the columns {known}, not '{plain(', '.join(heads), 80)}'")
    rows: list[_Row] = []
    try:
        for values in reader:
            at = f"{where}: row {numbers[-1]}"
            time, prompt, answer = (values.get(name) or "" for name in names)
            moment = _date(time, at) if unit == "date" else _number(time, names[0], at)
            rows.append(
                _Row(numbers[-1], moment, _tokens(prompt, names[1], at), _tokens(answer, names[2], at, least=0), None)
            )
            _count(rows, where)
    except csv.Error as error:
        raise InputError(f"{where}: row {numbers[-1]}: is not CSV: {plain(str(error))}") from None
    return form, unit, rows


def _span(rows: Sequence[_Row], where: str, told: int | None) -> int:
    """How many tokens an id stands for: the number that all rows allow; of several, 512 or 16, else the lowest."""
    least, most = 1, MOST_TOKENS
    for row in rows:
        if row.ids is None:
            raise InputError(f"{where}: row {row.number}: has no hash_ids, which other rows have")
        count = len(row.ids)
        low, high = -(-row.prompt // count), MOST_TOKENS if count == 1 else -(-row.prompt // (count - 1)) - 1
        if told is not None and not low <= told <= high:
            raise InputError(f"{where}: row {row.number}: {count:,} ids for {row.prompt:,} tokens are not {told} each")
        if max(least, low) > min(most, high):
            before = f"{least:,}" if least == most else f"{least:,} to {most:,}"
            raise InputError(
                f"{where}: row {row.number}: {count:,} ids for {row.prompt:,} tokens contradict the rows before, "
                f"which have {before} tokens for each id"
            )
        least, most = max(least, low), min(most, high)
    return told or next((span for span in _SPANS if least <= span <= most), least)


def _object(line: str, at: str) -> Mapping[str, Any]:
    if len(line) > MOST_LINE:
        raise InputError(f"{at}: is longer than {MOST_LINE:,} characters")
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{at}: is not JSON") from None
    if not isinstance(values, dict):
        raise InputError(f"{at}: is not an object")
    return values


def _maybe(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if name in values), None)


def _needed(values: Mapping[str, Any], names: Sequence[str], at: str) -> Any:
    value = _maybe(values, names)
    if value is None:
        raise InputError(f"{at}: {names[0]} is missing")
    return value


def _number(value: Any, name: str, at: str) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else -1.0
    except (TypeError, ValueError, OverflowError):
        number = -1.0
    if not 0 <= number < 1e15:
        raise InputError(f"{at}: {name} is '{plain(str(value), 40)}', not a time")
    return number


def _tokens(value: Any, name: str, at: str, least: int = 1) -> int:
    try:
        count = int(value) if not isinstance(value, bool | float) else -1
    except (TypeError, ValueError):
        count = -1
    if not least <= count <= MOST_TOKENS:
        raise InputError(f"{at}: {name} is '{plain(str(value), 40)}', not {least} to {MOST_TOKENS:,} tokens")
    return count


def _ids(value: Any, known: dict[Any, int], at: str) -> array[int]:
    """The ids of a row as small numbers: in the files they are hashes of any size."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_IDS:
        raise InputError(f"{at}: hash_ids is not a list of 1 to {MOST_IDS:,} ids")
    if not all(type(one) is int or (isinstance(one, str) and len(one) <= MOST_ID) for one in value):
        raise InputError(f"{at}: hash_ids has an id that is neither a whole number nor a short text")
    if len(set(value)) < len(value):
        raise InputError(f"{at}: hash_ids has an id twice, and so they do not stand for whole prefixes")
    return array("q", [known.setdefault(one, len(known)) for one in value])


def _date(text: str, at: str) -> float:
    """Azure writes seven decimals of a second; six are kept."""
    whole, _, fraction = text.strip().partition(".")
    try:
        moment = datetime.fromisoformat(f"{whole}+00:00")
        return moment.timestamp() + (float(f"0.{fraction}") if fraction else 0.0)
    except (ValueError, OverflowError):
        raise InputError(f"{at}: TIMESTAMP is '{plain(text, 40)}', not a date and a time") from None


def _count(rows: Sequence[_Row], where: str) -> None:
    if len(rows) > MOST_REQUESTS:
        raise InputError(f"{where}: has more than {MOST_REQUESTS:,} requests")
