"""Rows of a gateway's log: when a request came, and how many tokens it sent and got.

| log | time | tokens |
|---|---|---|
| LiteLLM, standard payload or spend logs | startTime, seconds or a date | prompt_tokens, completion_tokens |
| a kept OpenAI response | created, seconds | usage: prompt_tokens, completion_tokens |
| a kept Anthropic response | created_at, a date | usage: input_tokens, output_tokens |

They stand in the row itself or in what wraps it (``standard_logging_object``, ``response``). Such logs tell no
prefixes: a prompt's text would have to be made into tokens again. A row without tokens was not answered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.replay.dates import seconds_of

TIMES = ("startTime", "start_time", "created_at", "created", "timestamp", "ts", "time")
PROMPTS = ("prompt_tokens", "input_tokens")
ANSWERS = ("completion_tokens", "output_tokens")
WRAPPERS = ("standard_logging_object", "response", "response_json", "body")

_MOST_SECONDS = 1e11
"""Epochs above are milliseconds: as seconds they are in the year 5138."""


def is_gateway(values: Mapping[str, Any]) -> bool:
    """Whether a JSON row is of a gateway's log, by its first."""
    return any(_told(one, TIMES) is not None for one in _parts(values)) and (
        _told(values, WRAPPERS) is not None or "usage" in values or "prompt_tokens" in values
    )


def gateway_columns(heads: Sequence[str]) -> tuple[str, str, str] | None:
    """The columns of time, prompt and answer among ``heads`` of a CSV file; None: it is no gateway's log."""
    found = [next((name for name in names if name in heads), None) for names in (TIMES, PROMPTS, ANSWERS)]
    time, prompt, answer = found
    return None if time is None or prompt is None or answer is None else (time, prompt, answer)


def gateway_values(values: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    """Time, prompt and answer of a row, as they stand in it; None is what it does not tell."""
    parts = _parts(values)
    usages = [usage for one in parts if isinstance(usage := one.get("usage"), dict)]
    time = next((found for one in parts if (found := _told(one, TIMES)) is not None), None)
    prompt, answer = (
        next((found for one in [*parts, *usages] if (found := _told(one, names)) is not None), None)
        for names in (PROMPTS, ANSWERS)
    )
    return time, prompt, answer


def moment(value: Any, at: str) -> float:
    """Seconds of an epoch in seconds or milliseconds, or of a date. Raises InputError, which names ``at``."""
    try:
        if isinstance(value, str) and not value.replace(".", "", 1).isdigit():
            return seconds_of(value)
        seconds = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = -1.0
    if not 0 <= seconds < 1e15:
        raise InputError(f"{at}: its time is '{plain(str(value), 40)}', not one")
    return seconds / 1000 if seconds > _MOST_SECONDS else seconds


def _parts(values: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [values, *(one for name in WRAPPERS if isinstance(one := values.get(name), dict))]


def _told(values: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)
