"""A refusal alone, without the model or the device that it is about: what follows from its two sizes by arithmetic.

Example: 5.60 GiB are needed for 131,072 tokens and 2.40 GiB are there. The engine itself says that 56,144 tokens fit;
an fp8 cache needs 2.80 GiB, which is still too much, but holds twice as many tokens. On two devices each needs 2.80 and
holds half of the weights, which is enough if those are 0.80 GiB or more; on four each needs 1.40, enough in any case.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.engines.known import part
from kvtui.engine.serving.launching import Launch

RANKS = (2, 4, 8)
STEP = 16


class RefusalAnswer(NamedTuple):
    """What would let the server start: the engine's own ``flags``, and ``words`` on why."""

    flags: str
    words: str


class Refusal(NamedTuple):
    """What an engine said when it did not start: bytes ``needed`` for ``context`` tokens, and bytes ``available``."""

    engine: str
    needed: int
    available: int
    context: int | None
    longest: int | None
    answers: tuple[RefusalAnswer, ...]


def answerable(launch: Launch) -> bool:
    """Whether an engine has flags of its own for all that may answer a refusal."""
    return None not in (launch.written(key, "1") for key in ("context", "kv_dtype", "tp", "gpu_memory_utilization"))


def refusal_of(log: BootLog) -> Refusal | None:
    """The refusal in ``log``; None where it does not print both sizes, or its engine's flags are not known."""
    needed, pool = log.most("needed"), log.least("pool")
    launch: Launch = part(log.engine, "flags").LAUNCH
    if needed is None or pool is None or not answerable(launch) or needed.bytes <= pool.bytes:
        return None
    told = log.options.get("context")
    context = int(told) if isinstance(told, str) and told.isdecimal() else None
    longest = log.counts.get("max_context")
    answers = tuple(_answers(launch, needed.bytes, pool.bytes, longest))
    return Refusal(log.engine, needed.bytes, pool.bytes, context, longest, answers)


def _answers(launch: Launch, needed: int, available: int, longest: int | None) -> Iterator[RefusalAnswer]:
    def said(key: str, value: object) -> str:
        return " ".join(launch.written(key, str(value)) or ())

    if longest:
        yield RefusalAnswer(said("context", longest), "the longest context, by the engine's own figure")
    half = needed // 2
    fp8 = said("kv_dtype", "fp8")
    if half <= available:
        yield RefusalAnswer(fp8, f"of a 16-bit cache half is needed, {format_bytes(half)}: check the answers' quality")
    elif longest:
        both = f"{fp8} {said('context', 2 * longest // STEP * STEP)}"
        yield RefusalAnswer(both, f"half is needed, {format_bytes(half)}, still too much for the whole context")
    for ranks, words in _splits(needed, available):
        yield RefusalAnswer(said("tp", ranks), words)
    missing = format_bytes(needed - available)
    yield RefusalAnswer(
        said("gpu_memory_utilization", "X"),
        f"if the device has {missing} that the server was not to use: X is larger by {missing} over its memory",
    )


def _splits(needed: int, available: int) -> Iterator[tuple[int, str]]:
    """Splits over devices: two, with the weights from which they are enough, and the first that is whatever they are.

    A device of n has available + weights × (n − 1) ÷ n for needed ÷ n of cache: enough from weights of
    (needed − n × available) ÷ (n − 1) on. The refusal does not say what the weights are.
    """
    for ranks in RANKS:
        each = f"each device needs {format_bytes(needed // ranks)} of cache"
        if needed <= ranks * available:
            yield ranks, f"{each}, and has more room beside less weights"
            return
        if ranks == RANKS[0]:
            least = -(-(needed - ranks * available) // (ranks - 1))
            half = "and holds half of the weights: enough where all of them are"
            yield ranks, f"{each} {half} {format_bytes(least)} or more"
