"""``kvtui bench ensemble``: a baseline, a naive ensemble, a product of experts and plain speculation, side by side.

Results are kept in a dated folder as ``results.json``, part by part as they are measured, in the schema of a published
benchmark of ensembles with kvtui's own under ``speculative`` and ``kvtui``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui import __version__
from kvtui.bench import store, table
from kvtui.bench.runner import BackendError, Control
from kvtui.bench.stages import TaskError, events
from kvtui.cases.ensembles import PLANS, EnsemblePlan
from kvtui.commands.answer import Answer
from kvtui.commands.interrupts import cancelling, exit_code
from kvtui.commands.measuring import need_jax
from kvtui.commands.narration import say
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.units import parse_count
from kvtui.engine.basis.untrusted import plain
from kvtui.output.table import Column, render

if TYPE_CHECKING:
    import argparse

FAILED, NO_BACKEND = 1, 3
RESULTS = "results.json"
COLUMNS = (
    Column("variant", "variant"),
    Column("position", "at", "right", 2),
    Column("gamma", "gamma", "right", 1),
    Column("median_ms", "median ms", "right", 0, table.ms),
    Column("p20_ms", "p20", "right", 4, table.ms),
    Column("p80_ms", "p80", "right", 4, table.ms),
    Column("tps", "tokens/s", "right", 0, lambda rate: f"{rate:,.0f}"),
    Column("effective_tps", "accepted/s", "right", 3, lambda rate: f"{rate:,.0f}"),
    Column("resample_rate", "drawn again", "right", 2, lambda rate: f"{rate:.0%}"),
    Column("per_token_ms", "ms per accepted", "right", 5, table.ms),
    Column("n", "samples", "right", 6),
)


def plan_of(args: argparse.Namespace) -> EnsemblePlan:
    """What the options ask for. Raises InputError."""
    plan = PLANS[args.size or "default"]
    if args.heads is not None:
        heads = parse_count(args.heads, "--heads", 64)
        plan = replace(plan, heads=heads, beta=1 / max(1, heads - 1))
    if args.gammas:
        plan = replace(plan, gammas=tuple(sorted({parse_count(word, "--gammas", 64) for word in args.gammas})))
    if args.beta is not None:
        plan = replace(plan, beta=_number("beta", args.beta))
    if args.temperature is not None:
        plan = replace(plan, temperature=_number("temperature", args.temperature))
    if args.checkpoint is not None:
        plan = replace(plan, checkpoint=str(Path(args.checkpoint).absolute()), draft_layers=1)
    return plan


def run(args: argparse.Namespace, answer: Answer) -> int:
    """Measure, keep and show; return the exit code.

    Raises InputError for wrong options and checkpoints, OSError when results cannot be stored.
    """
    plan = plan_of(args)
    need_jax()
    folder = store.new_folder(Path(args.out or store.OUT))
    results: dict[str, Any] = {"metadata": _metadata(plan)}
    control = Control()
    try:
        with cancelling(control) as received:
            say(f"results in {plain(str(folder), limit=400)}")
            for event in events("ensemble", {"plan": plan.to_json()}, control, args.device):
                _put(results, event["path"], event["value"])
                write_whole(folder / RESULTS, json.dumps(results, allow_nan=False) + "\n")
                say(f"{' '.join(map(str, event['path']))}: done")
    except BackendError as error:
        say(str(error))
        return NO_BACKEND
    except TaskError as error:
        say(f"bench: {error}")
        return FAILED
    finally:
        if not any(folder.iterdir()):
            folder.rmdir()
    if len(results) > 1:
        from kvtui.figures.decode import panels
        from kvtui.plots.keep import keep

        answer.write(_table(results, answer, args.format))
        keep(folder, "graph", panels(results))
    if received:
        say("interrupted; what was measured is kept")
        return exit_code(received)
    return 0


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--{name}: '{plain(text)}' is not a number") from None


def _metadata(plan: EnsemblePlan) -> dict[str, Any]:
    return {
        "timestamp": datetime.now().astimezone().isoformat(timespec="seconds"),
        "gpu": None,
        "size": Path(plan.checkpoint).name or f"{plan.dim}x{plan.layers}",
        "dtype": "fp32",
        "n_heads": plan.heads,
        "heads_depth": plan.depth,
        "prompt_length": plan.prompt_length,
        "generation_length": plan.generation_length,
        "decode_step_interval": plan.decode_step_interval,
        "poe_gamma": plan.gammas[0],
        "poe_beta": plan.beta,
        "poe_max_new_tokens": plan.new_tokens,
        "kvtui": __version__,
        "plan": plan.to_json(),
    }


def _put(results: dict[str, Any], path: list[str], value: Any) -> None:
    place = results
    for name in path[:-1]:
        place = place.setdefault(name, {})
    place[path[-1]] = value


def _rows(results: Mapping[str, Any]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    empty: dict[str, object] = {column.key: None for column in COLUMNS}
    for name, part in results.items():
        if name in ("metadata", "kvtui"):
            continue
        for at, step in part.get("decode", {}).get("per_position", {}).items():
            known = {key: step.get(key) for key in ("median_ms", "p20_ms", "p80_ms", "tps", "n")}
            rows.append({**empty, "variant": name, "position": int(at), **known})
        for gamma, call in part.get("per_gamma", {}).items():
            known = {key: call.get(key) for key in empty if key in call}
            rows.append({**empty, "variant": name, "gamma": int(gamma), **known, "tps": call.get("emitted_tps")})
    return rows


def _table(results: Mapping[str, Any], answer: Answer, form: str) -> str:
    form = "markdown" if form == "md" else "json" if form == "jsonl" else form
    return render(COLUMNS, _rows(results), form, answer.width, answer.color, answer.ascii_only)
