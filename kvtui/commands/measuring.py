"""What the commands that measure have in common: JAX must be there, and how long to measure."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from kvtui.bench import runner
from kvtui.cases.protocol import TimeBudget
from kvtui.commands.narration import say
from kvtui.engine.basis.units import parse_count

if TYPE_CHECKING:
    import argparse

NO_BACKEND = 3
MOST_TRIALS = 100_000


def need_jax() -> None:
    """Say so and exit with 3 where JAX is not installed."""
    if find_spec("jax") is None:
        say(f"bench: {runner.INSTALL}")
        raise SystemExit(NO_BACKEND)


def budget_of(args: argparse.Namespace, usual: TimeBudget) -> TimeBudget:
    """How long to measure, by the options. Raises InputError."""
    warmup = usual.warmup if args.n_warmup is None else parse_count(args.n_warmup, "--n-warmup", MOST_TRIALS)
    trials = usual.trials if args.n_trials is None else parse_count(args.n_trials, "--n-trials", MOST_TRIALS)
    return TimeBudget(warmup, trials, max(usual.most, trials), usual.seconds)
