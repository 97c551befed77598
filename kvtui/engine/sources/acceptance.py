"""The share of drafted tokens that was accepted, of the results.json that ``kvtui bench ensemble`` leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text
from kvtui.engine.basis.json_object import parse_object
from kvtui.engine.basis.untrusted import plain

MOST_BYTES = 2**26
SPECULATIVE = ("speculative", "hydra_poe")
"""The variants of a run that draft; plain speculation first."""
COUNTS = ("avg_accepted_tokens_per_call", "resample_rate", "n_calls")


def measured_acceptance(path: Path) -> float:
    """Accepted over drafted tokens, of all calls of the run in the file ``path``.

    A round ends at its first token that is refused, so that accepted ÷ (accepted + refused) is the likeliest share by
    which each token was accepted. Raises InputError where the file is no such run, or nothing was accepted or refused.
    """
    shown = plain(str(path))
    try:
        found = parse_object(read_text(path, MOST_BYTES), shown)
    except OSError as error:
        raise InputError(f"acceptance: {shown}: {error.strerror or 'cannot be read'}") from None
    accepted = refused = 0.0
    for run in _runs(next((found[name] for name in SPECULATIVE if found.get(name)), None)):
        each, rate, calls = (_number(run, name) for name in COUNTS)
        if each is not None and rate is not None and calls is not None and 0 <= rate < 1:
            accepted += calls * each
            refused += calls * each * rate / (1 - rate)
    if not accepted:
        raise InputError(f"acceptance: {shown}: has no run of speculative decoding in which a token was accepted")
    return round(accepted / (accepted + refused), 4)


def _runs(value: Any) -> Iterator[Mapping[str, Any]]:
    """The timings anywhere within ``value``."""
    match value:
        case {"resample_rate": _}:
            yield value
        case dict():
            for part in value.values():
                yield from _runs(part)
        case list():
            for part in value:
                yield from _runs(part)


def _number(values: Mapping[str, Any], name: str) -> float | None:
    value = values.get(name)
    return (
        float(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 2**53 else None
    )
