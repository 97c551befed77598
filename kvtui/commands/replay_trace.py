"""The trace that ``kvtui replay`` was asked for: read from a file or standard input, or made up; cut and changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from kvtui.commands.parser import choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from kvtui.engine.replay.traces import Trace

MOST_RECORDED_BYTES = 256 * 2**20
UNITS = ("s", "ms")
MOST_TIMES, LEAST_TIMES = 1e6, 1e-6


def trace_asked(args: argparse.Namespace, document: Mapping[str, Any] | None) -> Trace:
    """The trace in ``args``, which is in ``document`` where its file is one JSON object. Raises InputError."""
    return _changed(_trace(args, document), args)


def json_object(name: str) -> Mapping[str, Any] | None:
    """The JSON object in a file that ends with .json: a recorded scenario, or what ``vllm bench serve`` saved."""
    if not name.casefold().endswith(".json"):
        return None
    from kvtui.engine.basis.files import read_text, unreadable
    from kvtui.engine.basis.json_object import parse_object

    try:
        return parse_object(read_text(name, MOST_RECORDED_BYTES), plain(name))
    except FileNotFoundError as error:
        raise unreadable(name, error) from None


def _trace(args: argparse.Namespace, document: Mapping[str, Any] | None) -> Trace:
    """The trace in a file or in standard input, or one that is made up."""
    from io import TextIOWrapper

    from kvtui.engine.basis.files import open_to_read, unreadable
    from kvtui.engine.basis.units import parse_count
    from kvtui.engine.live.recording import is_recording
    from kvtui.engine.replay.synthetic import WORD, synthetic_trace
    from kvtui.engine.replay.traces import MOST_TOKENS, read_bench, read_trace

    if args.trace.partition(":")[0] == WORD:
        return synthetic_trace(args.trace)
    if document is not None:
        return read_bench(document, plain(args.trace))
    if args.time_unit is not None:
        choose("time unit", args.time_unit, UNITS)
    span = None if args.tokens_per_id is None else parse_count(args.tokens_per_id, "--tokens-per-id", MOST_TOKENS)
    where = "standard input" if args.trace == "-" else plain(args.trace)
    try:
        stream = sys.stdin.buffer if args.trace == "-" else open_to_read(args.trace)
    except OSError as error:
        raise unreadable(args.trace, error) from None
    with stream, TextIOWrapper(stream, encoding="utf-8-sig", errors="replace") as lines:
        first = next(lines, "")
        if is_recording(first):
            return _watched(_with(first, lines), where)
        return read_trace(_with(first, lines), where, span, args.time_unit)


def _watched(lines: Iterator[str], where: str) -> Trace:
    """The traffic that a watched server had, by the recording in ``lines``."""
    from kvtui.engine.live.recording import read_recording
    from kvtui.engine.live.traffic import traffic
    from kvtui.engine.replay.rows import RowTable, TraceRequests, TraceRow
    from kvtui.engine.replay.traces import Trace

    rows = RowTable()
    for number, one in enumerate(traffic(read_recording(lines, where), where), start=1):
        rows.append(TraceRow(number, *one))
    return Trace("recording", "s", 0, TraceRequests.of_rows(rows, 0, 1.0))


def _with(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _changed(trace: Trace, args: argparse.Namespace) -> Trace:
    """The part of ``trace`` that was asked for, faster or longer."""
    from kvtui.engine.basis.units import parse_factor

    requests = trace.requests
    if args.requests is not None:
        first, last = _part(args.requests)
        requests = requests[first - 1 : last]
        if not requests:
            raise InputError(f"--requests: the trace has {len(trace.requests):,}")
        requests = requests.from_start()
    if args.rate is not None:
        requests = requests.faster(parse_factor(args.rate, "--rate", MOST_TIMES, LEAST_TIMES))
    if args.longer is not None:
        requests = requests.resized(parse_factor(args.longer, "--longer", MOST_TIMES, LEAST_TIMES))
    return trace._replace(requests=requests, span=requests.span)


def _part(word: str) -> tuple[int, int]:
    """``50``, the first 50, or ``100-200``."""
    from kvtui.engine.basis.units import parse_count
    from kvtui.engine.replay.traces import MOST_REQUESTS

    first, dash, last = word.partition("-")
    if not dash:
        return 1, parse_count(word, "--requests", MOST_REQUESTS)
    found = parse_count(first, "--requests", MOST_REQUESTS), parse_count(last, "--requests", MOST_REQUESTS)
    if found[0] > found[1]:
        raise InputError(f"--requests: '{plain(word, 40)}' ends before it begins")
    return found
