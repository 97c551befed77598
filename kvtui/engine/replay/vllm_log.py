"""Requests out of vLLM's own log, as ``--enable-log-requests`` writes it at the level DEBUG.

Each request has its prompt token by token there, so its prefixes are exact: a number for each 16 tokens and all before
them. How long its answer became stands there with ``--enable-log-outputs``; else the most that it asked for counts.
Times have no year, and are told in whole seconds. Before 0.10 one line had it all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.dates import in_a_leap_year
from kvtui.engine.replay.rows import RowTable, TraceRow

SPAN = 16
MOST_LINE = 2**24
MOST_PROMPT = 2**20

_LINE = re.compile(
    r"(?:\([^()]{1,80}\) )?(?:DEBUG|INFO|WARNING|ERROR) (\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) (?:\[?\S{1,120}\] )?"
)
_ASKED = re.compile(r"(?:Received request|Request) (\S{1,200}?)(?: details)?: ")
_ANSWERED = re.compile(r"Generated response (\S{1,200}?)(?: \(streaming complete\))?: output: ")
_PROMPT_IDS, _ANSWER_IDS, _PARAMS = "prompt_token_ids: [", "output_token_ids: [", "params: SamplingParams("
_MOST_TOKENS = re.compile(r"\bmax_tokens=(\d{1,9})")
_PARAMS_LENGTH = 4096


def is_vllm_log(line: str) -> bool:
    """Whether ``line``, the first of a file, is one of vLLM's log."""
    return _LINE.match(line) is not None


def vllm_rows(lines: Iterable[tuple[int, str]], where: str) -> RowTable:
    """The requests in numbered ``lines``; what else is logged is passed over.

    Raises InputError where there is none, and for a line that is far too long.
    """
    prompts: dict[str, list[int]] = {}
    asked: dict[str, tuple[int, float, int]] = {}  # number, moment and answer of each request
    for number, line in lines:
        if len(line) > MOST_LINE:
            raise InputError(f"{where}: row {number}: is longer than {MOST_LINE:,} characters")
        head = _LINE.match(line)
        if head is None:
            continue
        request, response = _ASKED.match(line, head.end()), _ANSWERED.match(line, head.end())
        if request is not None:
            tokens, most = _ids(line, _PROMPT_IDS), _most_tokens(line)
            if tokens:
                prompts[request[1]] = tokens
            if most is not None:
                asked[request[1]] = number, _moment(head, f"{where}: row {number}"), most
        elif response is not None and response[1] in asked:
            before, answer = asked[response[1]], len(_ids(line, _ANSWER_IDS))
            asked[response[1]] = before[0], before[1], answer or before[2]
    return _rows(prompts, asked, where)


def _rows(prompts: dict[str, list[int]], asked: dict[str, tuple[int, float, int]], where: str) -> RowTable:
    rows, known = RowTable(), dict[tuple[int, tuple[int, ...]], int]()
    for name, (number, time, answer) in asked.items():
        tokens = prompts.get(name)
        if tokens:
            before, ids = 0, list[int | str]()
            for first in range(0, len(tokens), SPAN):
                before = known.setdefault((before, tuple(tokens[first : first + SPAN])), len(known) + 1)
                ids.append(before)
            rows.append(TraceRow(number, time, len(tokens), answer, ids))
    if not rows:
        raise InputError(f"{where}: is a log of vLLM without prompts: it has them with --enable-log-requests at DEBUG")
    return rows


def _ids(line: str, name: str) -> list[int]:
    """The numbers in the last list of this ``name``: what comes before may be a prompt that holds anything."""
    first = line.rfind(name)
    text = line[first + len(name) : line.find("]", first)] if first >= 0 else ""
    try:
        return [int(one) for one in text.split(",") if one.strip()][:MOST_PROMPT]
    except ValueError:
        return []


def _most_tokens(line: str) -> int | None:
    first = line.rfind(_PARAMS)
    found = _MOST_TOKENS.search(line, first, first + _PARAMS_LENGTH) if first >= 0 else None
    return None if found is None else int(found[1])


def _moment(head: re.Match[str], at: str) -> float:
    """Seconds in some leap year; a log that goes on over New Year is told in two parts."""
    try:
        month, day, hour, minute, second = map(int, head.groups())
        return in_a_leap_year(month, day, hour, minute, second)
    except ValueError:
        raise InputError(f"{at}: has no such date") from None
