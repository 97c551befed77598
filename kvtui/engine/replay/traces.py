"""Traces: requests with the moments at which they arrived, in the forms in which they are published.

| form | file | times | prefixes |
|---|---|---|---|
| mooncake | JSON lines: timestamp, input_length, output_length, hash_ids | ms | an id per 512 tokens |
| bailian | JSON lines: chat_id, timestamp, input_length, output_length, hash_ids | s | an id per 16 tokens |
| aiperf | JSON lines by any name of AIPerf and aisimulate; ``delay`` after the row before | ms | perhaps |
| kvtui | JSON lines: {"kvtui_trace": 1, "tokens_per_id": N}, then arrival, prompt, answer, ids | s | perhaps |
| vllm-bench | JSON of ``vllm bench serve --save-detailed``: start_times, input_lens, output_lens | s | none |
| azure | CSV: TIMESTAMP, ContextTokens, GeneratedTokens | date | none |
| gateway | JSON lines or CSV of a gateway's log: see :mod:`gateway` | s, ms or date | none |
| vllm-log | what vLLM logs of requests: see :mod:`vllm_log` | date | an id per 16 tokens |
| burstgpt | CSV: Timestamp, Model, Request tokens, Response tokens, Total tokens, Log Type | s | none |

How many tokens an id stands for is not said in the files; it follows from the rows: ``n`` ids for ``L`` tokens mean at
least L/n and less than L/(n-1). Rows that leave no number are malformed.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay import vllm_log
from kvtui.engine.replay.dates import seconds_of
from kvtui.engine.replay.gateway import gateway_columns, gateway_values, is_gateway, moment
from kvtui.engine.replay.rows import RowTable, TraceRequests, TraceRow

MOST_TOKENS = 2**24
MOST_IDS = 2**20
MOST_ID = 128
MOST_REQUESTS = 4_000_000
MOST_LINE = 2**20

_MS_PER_S = 1000
_SPANS = (512, 16)
_OWN = "kvtui_trace"
_ARRIVAL = ("timestamp", "created_time", "arrival")
_PROMPT = ("input_length", "input_tokens", "prompt")
_ANSWER = ("output_length", "output_tokens", "answer")
_IDS = ("hash_ids", "ids")
_BENCH = ("start_times", "input_lens", "output_lens")
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
    requests: TraceRequests
    unanswered: int = 0


def read_trace(lines: Iterable[str], where: str, span: int | None = None, unit: str | None = None) -> Trace:
    """The trace in ``lines``; ``span`` where the rows allow several numbers of tokens per id.

    Times of JSON lines are in ``unit``, "s" or "ms"; without one they are taken for what the form usually has.

    Raises InputError, which names ``where`` and the row that is wrong.
    """
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise InputError(f"{where}: is empty")
    rest = _with_first(first, numbered)
    told: int | None = None
    if vllm_log.is_vllm_log(first[1]):
        form, found_unit, rows, told = "vllm-log", "date", vllm_log.vllm_rows(rest, where), vllm_log.SPAN
    elif first[1].lstrip().startswith("{"):
        form, found_unit, rows, told = _json_rows(rest, where, unit)
    else:
        form, found_unit, rows = _csv_rows(rest, where)
    found = _span(rows, where, span or told) if rows.have_ids else 0
    requests = TraceRequests.of_rows(rows, found, 1 / _MS_PER_S if found_unit == "ms" else 1.0)
    if not requests:
        raise InputError(f"{where}: none of its {len(rows):,} rows has an answer")
    return Trace(form, found_unit, found, requests, len(rows) - len(requests))


def read_bench(document: Mapping[str, Any], where: str) -> Trace:
    """The requests that ``vllm bench serve`` sent, by the ``document`` that it saved with ``--save-detailed``."""
    columns = [document.get(name) for name in _BENCH]
    if not all(isinstance(column, list) for column in columns):
        raise InputError(f"{where}: has no {', '.join(_BENCH)}, which vllm bench serve saves with --save-detailed")
    if len({len(column) for column in columns if isinstance(column, list)}) > 1:
        raise InputError(f"{where}: {', '.join(_BENCH)} have different lengths")
    rows = RowTable()
    for number, (time, prompt, answer) in enumerate(zip(*columns, strict=True), start=1):
        at = f"{where}: row {number}"
        rows.append(
            TraceRow(
                number,
                _number(time, _BENCH[0], at),
                _tokens(prompt, _BENCH[1], at),
                _tokens(answer, _BENCH[2], at, least=0),
            )
        )
        _count(rows, where)
    requests = TraceRequests.of_rows(rows, 0, 1.0)
    if not requests:
        raise InputError(f"{where}: none of its {len(rows):,} requests has an answer")
    return Trace("vllm-bench", "s", 0, requests, len(rows) - len(requests))


def trace_lines(trace: Trace) -> Iterator[str]:
    """``trace`` in kvtui's own form, line by line: what :func:`read_trace` reads back."""
    yield json.dumps({_OWN: 1, **({"tokens_per_id": trace.requests.span} if trace.requests.span else {})}) + "\n"
    for row in trace.requests.rows():
        told = {"arrival": row.time, "prompt": row.prompt, "answer": row.answer}
        ids = {} if row.ids is None else {"ids": row.ids}
        yield json.dumps({**told, **ids, **({"priority": row.priority} if row.priority else {})}) + "\n"


def _with_first(first: tuple[int, str], rest: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    yield first
    yield from rest


def _json_rows(lines: Iterator[tuple[int, str]], where: str, unit: str | None) -> tuple[str, str, RowTable, int | None]:
    """Rows of JSON lines, and how many tokens an id has, where that is said.

    Times are in ``unit``; without it, seconds where they have chat ids or fractions, else milliseconds.
    """
    rows, chats, last, gateway = RowTable(), False, 0.0, False
    fractions, own, told = False, False, None
    for number, line in lines:
        at = f"{where}: row {number}"
        values = _object(line, at)
        if _OWN in values and not rows:
            own = True
            if values.get("tokens_per_id") is not None:
                told = _tokens(values["tokens_per_id"], "tokens_per_id", at)
            continue
        gateway = gateway or (not rows and is_gateway(values))
        if gateway:
            rows.append(_gateway_row(number, at, *gateway_values(values)))
            _count(rows, where)
            continue
        chats = chats or "chat_id" in values
        time = _maybe(values, _ARRIVAL)
        if time is None:
            time = last + _number(_needed(values, (*_DELAY, *_ARRIVAL), at), "delay", at)
        last = _number(time, "timestamp", at)
        fractions = fractions or not last.is_integer()
        ids = _maybe(values, _IDS)
        rows.append(
            TraceRow(
                number,
                last,
                _tokens(_needed(values, _PROMPT, at), _PROMPT[0], at),
                _tokens(_needed(values, _ANSWER, at), _ANSWER[0], at, least=0),
                None if ids is None else _ids(ids, at),
                _priority(values.get("priority", 0), at),
            )
        )
        _count(rows, where)
    if not rows:
        raise InputError(f"{where}: is empty")
    if gateway:
        return "gateway", "date", rows, None
    seconds = own or chats or fractions
    form = "kvtui" if own else "bailian" if chats else "mooncake" if rows.have_ids else "aiperf"
    return form, unit or ("s" if seconds else "ms"), rows, told


def _csv_rows(lines: Iterator[tuple[int, str]], where: str) -> tuple[str, str, RowTable]:
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
    elif (columns := gateway_columns(heads)) is not None:
        form, unit, names = "gateway", "date", columns
    else:
        known = f"{', '.join(_AZURE)} (Azure) or {', '.join(_BURSTGPT)} (BurstGPT), or one JSON object per line"
        raise InputError(f"{where}: row 1: a trace has the columns {known}, not '{plain(', '.join(heads), 80)}'")
    rows = RowTable()
    try:
        for values in reader:
            at = f"{where}: row {numbers[-1]}"
            time, prompt, answer = (values.get(name) or "" for name in names)
            if form == "gateway":
                rows.append(_gateway_row(numbers[-1], at, time, prompt or None, answer or None))
            else:
                when = _date(time, at) if unit == "date" else _number(time, names[0], at)
                tokens = _tokens(prompt, names[1], at), _tokens(answer, names[2], at, least=0)
                rows.append(TraceRow(numbers[-1], when, *tokens))
            _count(rows, where)
    except csv.Error as error:
        raise InputError(f"{where}: row {numbers[-1]}: is not CSV: {plain(str(error))}") from None
    return form, unit, rows


def _gateway_row(number: int, at: str, time: Any, prompt: Any, answer: Any) -> TraceRow:
    """A row of a gateway; without tokens it was not answered."""
    asked = 0 if prompt is None else _tokens(prompt, "prompt_tokens", at, least=0)
    given = 0 if answer is None else _tokens(answer, "completion_tokens", at, least=0)
    return TraceRow(number, moment(time, at), max(1, asked), given if asked else 0)


def _span(rows: RowTable, where: str, told: int | None) -> int:
    """How many tokens an id stands for: the number that all rows allow; of several, 512 or 16, else the lowest."""
    least, most = 1, MOST_TOKENS
    for number, prompt, count in rows.shapes():
        if not count:
            raise InputError(f"{where}: row {number}: has no hash_ids, which other rows have")
        low, high = -(-prompt // count), MOST_TOKENS if count == 1 else -(-prompt // (count - 1)) - 1
        if told is not None and not low <= told <= high:
            raise InputError(f"{where}: row {number}: {count:,} ids for {prompt:,} tokens are not {told} each")
        if max(least, low) > min(most, high):
            before = f"{least:,}" if least == most else f"{least:,} to {most:,}"
            raise InputError(
                f"{where}: row {number}: {count:,} ids for {prompt:,} tokens contradict the rows before, "
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


def _priority(value: Any, at: str) -> int:
    if type(value) is not int or abs(value) >= 2**31:
        raise InputError(f"{at}: priority is '{plain(str(value), 40)}', not a whole number")
    return value


def _ids(value: Any, at: str) -> Sequence[int | str]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_IDS:
        raise InputError(f"{at}: hash_ids is not a list of 1 to {MOST_IDS:,} ids")
    if not all(type(one) is int or (isinstance(one, str) and len(one) <= MOST_ID) for one in value):
        raise InputError(f"{at}: hash_ids has an id that is neither a whole number nor a short text")
    if len(set(value)) < len(value):
        raise InputError(f"{at}: hash_ids has an id twice, and so they do not stand for whole prefixes")
    return value


def _date(text: str, at: str) -> float:
    try:
        return seconds_of(text)
    except (ValueError, OverflowError):
        raise InputError(f"{at}: TIMESTAMP is '{plain(text, 40)}', not a date and a time") from None


def _count(rows: RowTable, where: str) -> None:
    if len(rows) > MOST_REQUESTS:
        raise InputError(f"{where}: has more than {MOST_REQUESTS:,} requests")
