"""``kvtui replay --play``: the app on a replay, under one policy or two side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kvtui.commands.replay_pace import pace_of
from kvtui.commands.replay_sweep import servers_named
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import shell_word
from kvtui.engine.replay.filmed import BESIDE, film_of
from kvtui.engine.scenario.values import scenario_from

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from kvtui.engine.replay.traces import Trace

ANSWERS = ("slo", "find", "keep", "dask", "output")
"""Options of what is printed, which the film does not show."""


def play(trace: Trace, name: str, values: Mapping[str, Any] | None, args: argparse.Namespace) -> int:
    """Open the app on the replay of ``trace``, and return its exit code when it is left.

    Raises InputError for what cannot be shown, and where there is no terminal.
    """
    from kvtui.app.terminal import Ending, is_terminal, show
    from kvtui.engine.scenario.options import OPTIONS

    if values is None:
        raise InputError("--play: needs a scenario, such as --model Llama-3.1-8B --gpu L40S")
    if args.format != "text" or any(getattr(args, name) is not None for name in ANSWERS):
        raise InputError("--play: opens the app, and goes with no --slo, --find, --keep, --dask, --format or -o")
    if args.trace == "-":
        raise InputError("--play: the app has standard input for its keys; name a file")
    scenario = scenario_from(dict(values))
    names = None if args.compare is None else servers_named(args.compare) or BESIDE
    if names is None:
        names = ["prefix" if scenario.engine == "vllm" else scenario.engine]
    film = film_of(trace.requests, name, scenario, names, _changes(args), pace_of(args.pace, scenario))
    if not is_terminal():
        raise InputError("--play: this is not a terminal")
    ending = Ending()
    from kvtui.app.app import KvtuiApp
    from kvtui.state.session import Session
    from kvtui.state.settings import load
    from kvtui.state.themes import theme_names

    nothing = {option.key: None for option in OPTIONS}
    settings = load({**nothing, "theme": None, "motion": None, "fps": None, "ascii": args.ascii}, theme_names())
    app = KvtuiApp(Session(scenario), settings, film=film)
    return show(app, ending)


def _changes(args: argparse.Namespace) -> str:
    """The trace and how it is read, as words of the command line."""
    named = ("tokens_per_id", "time_unit", "requests", "rate", "longer", "pace")
    given = [(name, getattr(args, name)) for name in named if getattr(args, name) is not None]
    options = [f"--{name.replace('_', '-')} {shell_word(value)}" for name, value in given]
    return " ".join([shell_word(args.trace), *options])
