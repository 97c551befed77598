"""The steps that a watched server made while it was busy, as far as it counts them: a replay can have their pace.

vLLM counts the tokens of its steps in a histogram, llama.cpp its steps and the tokens of prompts and answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from kvtui.engine.live.interval import has_restarted
from kvtui.engine.live.snapshot import Snapshot
from kvtui.engine.replay.costs import SeenSteps


def seen_steps(snapshots: Iterable[Snapshot]) -> list[SeenSteps]:
    """One for each two snapshots between which the server ran requests, as they follow on each other.

    Those at whose ends nobody ran are left out: the server may have waited for work in between.
    """
    found, before = [], None
    for snapshot in snapshots:
        if before is not None and before.summed("running") and snapshot.summed("running"):
            seen = _between(before, snapshot)
            if seen is not None:
                found.append(seen)
        before = snapshot
    return found


def _between(before: Snapshot, after: Snapshot) -> SeenSteps | None:
    earlier, later = _counted(before), _counted(after)
    seconds = after.counters_at - before.counters_at
    if earlier is None or later is None or seconds <= 0 or has_restarted(before, after):
        return None
    steps, tokens = later[0] - earlier[0], later[1] - earlier[1]
    return SeenSteps(seconds, steps, tokens) if steps > 0 and tokens > 0 else None


def _counted(snapshot: Snapshot) -> tuple[float, float] | None:
    """The steps since the server's start and the tokens that they computed, per rank; None where it tells neither."""
    histograms = [rank.latencies["step_tokens"] for rank in snapshot.ranks if "step_tokens" in rank.latencies]
    if histograms:
        ranks = len(snapshot.ranks)
        return sum(one.observed for one in histograms) / ranks, sum(one.sum for one in histograms) / ranks
    steps, answers, prompts = (snapshot.total(name) for name in ("steps", "generation_tokens", "prompt_tokens"))
    if steps is None or answers is None or prompts is None:
        return None
    return steps, answers + prompts - (snapshot.total("hit_tokens") or 0.0)
