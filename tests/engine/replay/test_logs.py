"""Traces out of logs: what gateways keep of requests, and what vLLM logs of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.content import PrefixIds
from kvtui.engine.replay.gateway import ANSWERS, PROMPTS, TIMES, WRAPPERS
from kvtui.engine.replay.traces import Trace, read_trace


def seen(trace: Trace) -> list[tuple[float, int, int]]:
    return [(round(one.arrival, 3), one.prompt, one.answer) for one in trace.requests]


NAMES = (*TIMES, *PROMPTS, *ANSWERS, *WRAPPERS, "usage")
USAGE = {"usage": {"input_tokens": 120, "output_tokens": 30}}
LITELLM = [
    {"id": "a", "startTime": 1760000000.5, "prompt_tokens": 120, "completion_tokens": 30, "status": "success"},
    {"id": "b", "startTime": 1760000002.0, "prompt_tokens": 0, "completion_tokens": 0, "status": "failure"},
    {"id": "c", "startTime": 1760000001.25, "prompt_tokens": 7, "completion_tokens": 1, "status": "success"},
]


@pytest.mark.parametrize(
    "rows",
    [
        LITELLM,
        [{"standard_logging_object": row, "kwargs": {}} for row in LITELLM],
        [{**row, "startTime": row["startTime"] * 1000} for row in LITELLM],  # type: ignore[operator]
        [
            {
                "created_at": "2025-10-09T08:53:20.500Z",
                "response": {"usage": {"input_tokens": 120, "output_tokens": 30}},
            },
            {"created_at": "2025-10-09T08:53:22Z", "response": {"error": "overloaded"}},
            {"created_at": "2025-10-09T08:53:21.250+00:00", "usage": {"prompt_tokens": 7, "completion_tokens": 1}},
        ],
    ],
    ids=["litellm", "wrapped", "milliseconds", "responses"],
)
def test_a_gateways_log_is_a_trace(rows: list[dict[str, Any]]) -> None:
    trace = read_trace(map(json.dumps, rows), "log")
    assert (trace.form, trace.unit, trace.span, trace.unanswered) == ("gateway", "date", 0, 1)
    assert seen(trace) == [(0.0, 120, 30), (0.75, 7, 1)]


def test_spend_logs_are_csv() -> None:
    lines = [
        "request_id,startTime,prompt_tokens,completion_tokens",
        "a,2025-10-09 08:53:20.500,120,30",
        "b,2025-10-09 08:53:21,,",
    ]
    trace = read_trace(lines, "spend.csv")
    assert seen(trace) == [(0.0, 120, 30)]
    assert trace.unanswered == 1


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"startTime": "soon", "prompt_tokens": 1, "completion_tokens": 1}, "row 1: its time is 'soon', not one"),
        ({"startTime": 1, "prompt_tokens": -1, "completion_tokens": 1}, "row 1: prompt_tokens is '-1'"),
        ({"startTime": [], "prompt_tokens": 1, "completion_tokens": 1}, "row 1: its time is"),
        ({"startTime": 1, "prompt_tokens": {}, "completion_tokens": 1}, "row 1: prompt_tokens is"),
        ({"startTime": True, "prompt_tokens": 1, "completion_tokens": 1}, "row 1: its time is 'True'"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(row: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_trace([json.dumps(row)], "log")


def logged(second: int, text: str) -> str:
    return f"(APIServer pid=7) DEBUG 12-01 10:00:{second:02} [request_logger.py:48] {text}"


FIRST, SECOND = list(range(40)), [*range(32), 99, 98]
LOG = [
    "(APIServer pid=7) INFO 12-01 09:59:59 [api_server.py:1] Starting vLLM API server",
    logged(
        0,
        f"Request a details: prompt: 'prompt_token_ids: [1, 2], x', prompt_token_ids: {FIRST}, y: None.",
    ),
    logged(
        0,
        "Received request a: params: SamplingParams(n=1, max_tokens=64, min_tokens=0), lora_request: None.",
    ),
    logged(
        3,
        f"Received request b: prompt: 'y', params: SamplingParams(max_tokens=5), prompt_token_ids: {SECOND}.",
    ),
    logged(9, "Generated response a: output: 'z', output_token_ids: [5, 6, 7], finish_reason: stop"),
    logged(9, "Received request embedding: params: PoolingParams(task=embed), lora_request: None."),
    "    a line of a traceback",
]


def test_a_log_of_vllm_tells_prefixes_token_by_token() -> None:
    trace = read_trace(LOG, "log")
    assert (trace.form, trace.span) == ("vllm-log", 16)
    assert seen(trace) == [(0.0, 40, 3), (3.0, 34, 5)]
    first, second = (one.content for one in trace.requests)
    assert isinstance(first, PrefixIds)
    assert isinstance(second, PrefixIds)
    assert list(first.ids)[:2] == list(second.ids)[:2]
    assert list(first.ids)[2] != list(second.ids)[2]


def test_a_log_without_prompts_says_how_to_have_them() -> None:
    with pytest.raises(InputError, match="log: is a log of vLLM without prompts"):
        read_trace([LOG[0], LOG[2]], "log")
    with pytest.raises(InputError, match="row 1: has no such date"):
        read_trace([LOG[3].replace("12-01", "13-41")], "log")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=8,
)


def outcome(lines: Iterable[str]) -> Trace | str:
    """The trace, or what is said of its lines."""
    try:
        return read_trace(lines, "log")
    except InputError as error:
        return str(error)


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6), min_size=1, max_size=4))
def test_any_rows_are_a_trace_or_one_line(rows: list[dict[str, Any]]) -> None:
    found = outcome(map(json.dumps, rows))
    if isinstance(found, str):
        assert found.startswith("log: ")
        assert "\n" not in found
    else:
        assert len(found.requests) + found.unanswered == len(rows)


@given(st.lists(st.sampled_from(LOG) | st.text(max_size=60).map(lambda text: logged(1, text)), max_size=9))
def test_any_log_is_a_trace_or_one_line(lines: list[str]) -> None:
    found = outcome([LOG[0], *lines])
    assert "\n" not in found if isinstance(found, str) else found.requests
