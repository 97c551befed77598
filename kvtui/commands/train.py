"""``kvtui train``: train small models of several attentions, so that quality can be set beside cache.

The table of what was trained goes to stdout, the loss curve with it; progress goes to stderr.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui import __version__
from kvtui.bench.runner import BackendError, Control
from kvtui.bench.stages import TaskError, events
from kvtui.bench.training import corpus, runs
from kvtui.bench.training.runs import TrainingRun
from kvtui.cases.training import ATTENTIONS, MOST_SEED, MOST_SIZE, MOST_STEPS, SETS, TrainingPlan, training_set
from kvtui.commands.answer import Answer
from kvtui.commands.interrupts import cancelling, exit_code
from kvtui.commands.narration import say
from kvtui.commands.parser import add_table, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_count, parse_count
from kvtui.engine.basis.untrusted import plain, shell_word
from kvtui.output.table import FORMATS, Column, render

if TYPE_CHECKING:
    import argparse

FAILED, NO_BACKEND = 1, 3
SIZES = ("dim", "heads", "blocks", "context", "batch")
OF_PLAN = (*SIZES, "steps", "learning_rate", "experts", "tokens", "vocab", "attention")
COLUMNS = (
    Column("run", "run"),
    Column("attention", "attention", priority=2),
    Column("parameters", "weights", "right", 3, format_count),
    Column("steps", "steps", "right", 5),
    Column("val_loss", "validation loss", "right", 0, lambda loss: f"{loss:.4f}"),
    Column("val_loss_per_character", "nats/character", "right", 4, lambda loss: f"{loss:.4f}"),
    Column("seconds", "seconds", "right", 3, lambda seconds: f"{seconds:,.0f}"),
    Column("folder", "folder", priority=6),
)


def add(parser: argparse.ArgumentParser) -> None:
    """What to train, on what, and where it goes."""
    parser.description = (
        "Train small decoders on this machine, each in a folder of its own with its weights, log and summary. "
        "The built-in text is this Python's own language reference."
    )
    parser.add_argument("--set", metavar="SET", help="; ".join(f"{name}: {what}" for name, what in SETS.items()))
    parser.add_argument("--attention", nargs="+", metavar="A", help=f"any of {', '.join(ATTENTIONS)}, with any numbers")
    for name, means in zip(
        SIZES, ("width", "query heads", "layers", "tokens of a training sequence", "sequences of a step"), strict=True
    ):
        parser.add_argument(f"--{name}", metavar="N", help=means)
    parser.add_argument("--experts", metavar="E/K", help="experts, and how many a token takes: 4/2 (default: dense)")
    parser.add_argument("--steps", metavar="N", help="training steps")
    parser.add_argument("--learning-rate", metavar="X", help="its peak, after the warm-up")
    parser.add_argument("--find-lr", action="store_true", help="train nothing: try learning rates on the first model")
    parser.add_argument("--seeds", metavar="N,N,...", help="train each model once for each of these (default: 0)")
    parser.add_argument("--text", nargs="+", metavar="FILE", help="train on these text files; the last tenth measures")
    parser.add_argument("--tokens", metavar="HOW", help="char (default) or bpe, byte pairs learnt from the text")
    parser.add_argument("--vocab", metavar="N", help="tokens of a bpe vocabulary, at most (default: 256)")
    parser.add_argument("--runs-dir", metavar="DIR", default=str(runs.OUT), help=f"where runs are kept ({runs.OUT})")
    parser.add_argument("--resume", action="store_true", help="go on with the unfinished runs of --runs-dir")
    parser.add_argument("--device", metavar="NAME", help="cpu, gpu, tpu, cuda:1 or a number")
    add_table(parser)


def run(args: argparse.Namespace) -> int:
    """Train what was asked for and return the exit code.

    Raises InputError for options that are wrong and text that is no good, OSError when a run cannot be stored.
    """
    answer = Answer(args, args.format)
    choose("format", args.format, FORMATS)
    out = Path(args.runs_dir)
    if args.resume:
        return _train([_job(run) for run in _unfinished(args, out)], out, answer, args)
    files = [Path(name) for name in args.text or ()]
    plans = [replace(plan, text=_label(files)) for plan in _plans(args)]
    if args.find_lr:
        return _find(plans[0], files, answer, args)
    return _train(_begun(plans, files, out), out, answer, args, [plan.name for plan in plans])


def _plans(args: argparse.Namespace) -> list[TrainingPlan]:
    given: dict[str, Any] = {
        name: parse_count(value, f"--{name}", MOST_SIZE) for name in SIZES if (value := getattr(args, name)) is not None
    }
    if args.steps is not None:
        given["steps"] = parse_count(args.steps, "--steps", MOST_STEPS)
    if args.vocab is not None:
        given["vocab"] = parse_count(args.vocab, "--vocab", MOST_SIZE)
    if args.learning_rate is not None:
        given["learning_rate"] = _rate(args.learning_rate)
    given |= {name: value for name in ("experts", "tokens") if (value := getattr(args, name)) is not None}
    if args.set is not None and (given.keys() - {"steps", "learning_rate"} or args.attention):
        raise InputError(
            "--set: says what the models are; only --steps, --learning-rate, --seeds and the text go with it"
        )
    plans = (
        training_set(args.set) if args.set else [TrainingPlan(attention=word) for word in args.attention or ("MHA",)]
    )
    plans = [replace(plan, **given) for plan in plans]
    if args.seeds is None:
        return plans
    seeds = [_seed(word) for word in args.seeds.split(",")]
    return list(dict.fromkeys(replace(plan, seed=seed) for seed, plan in product(seeds, plans)))


def _seed(word: str) -> int:
    return 0 if word.strip() == "0" else parse_count(word, "--seeds", MOST_SEED)


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--learning-rate: '{plain(text)}' is not a number such as 3e-3") from None


def _label(files: Sequence[Path]) -> str:
    """What tells the text of ``files`` from any other; empty for the built-in text."""
    if not files:
        return ""
    text = corpus.load(files)
    return hashlib.sha256((text.train + text.validation).encode()).hexdigest()[:12]


def _job(run: TrainingRun) -> dict[str, Any]:
    return _job_of(run.plan, run.files, run.folder)


def _job_of(plan: TrainingPlan, files: Sequence[Path], folder: Path) -> dict[str, Any]:
    return {"plan": plan.to_json(), "files": [str(path) for path in files], "folder": str(folder)}


def _unfinished(args: argparse.Namespace, out: Path) -> list[TrainingRun]:
    given = [name for name in (*OF_PLAN, "set", "seeds", "text") if getattr(args, name) is not None]
    if given or args.find_lr:
        word = given[0].replace("_", "-") if given else "find-lr"
        raise InputError(f"--{word}: a resumed run goes on as it was begun; leave the option out")
    found = [run for run in runs.runs_in(out) if run.summary is None]
    if not found:
        say(f"nothing to resume in {plain(str(out))}: every run is finished")
    for run in found:
        if _label(run.files) != run.plan.text:
            raise InputError(f"{run.name}: its text files are not what they were; it cannot go on")
    return found


def _begun(plans: Sequence[TrainingPlan], files: Sequence[Path], out: Path) -> list[dict[str, Any]]:
    """The runs that are to be made of ``plans``, with a folder each; finished ones are left as they are."""
    jobs = []
    for plan in plans:
        folder = out / plan.name
        if (folder / runs.CONFIG).exists():
            there = runs.read_run(folder)
            if there.plan != plan:
                raise InputError(f"{plain(str(folder))}: is a run with other settings; choose another --runs-dir")
            if there.summary is None:
                raise InputError(f"{plain(str(folder))}: is unfinished; kvtui train --resume goes on with it")
            say(f"{plan.name}: trained already")
            continue
        runs.begin(folder, plan, [path.absolute() for path in files], {"kvtui": __version__})
        jobs.append(_job_of(plan, [path.absolute() for path in files], folder))
    return jobs


def _train(
    jobs: Sequence[Mapping[str, Any]],
    out: Path,
    answer: Answer,
    args: argparse.Namespace,
    shown: Sequence[str] | None = None,
) -> int:
    control, received = Control(), []
    try:
        if jobs:
            with cancelling(control) as received, _progress(len(jobs)) as told:
                for event in events("train", {"runs": jobs}, control, args.device):
                    told(event)
    except BackendError as error:
        say(str(error))
        return NO_BACKEND
    except TaskError as error:
        say(f"train: {error}")
        return FAILED
    if received:
        say(f"interrupted; kvtui train --resume --runs-dir {shell_word(str(out))} goes on from the last checkpoints")
        return exit_code(received)
    names = shown if shown is not None else [Path(job["folder"]).name for job in jobs]
    found = [runs.read_run(out / name) for name in names]
    if found:
        answer.write(_report(found, answer, args.format))
    return 0


def _report(found: Sequence[TrainingRun], answer: Answer, form: str) -> str:
    rows = [_row(run) for run in found]
    table = render(COLUMNS, rows, form, answer.width, answer.color, answer.ascii_only)
    if form != "text":
        return table
    from kvtui.commands.plot import draw
    from kvtui.figures.training import curves

    logs = {run.name: run.log() for run in found}
    return f"{table}\n{draw([curves(logs)], answer.width, answer.color, answer.ascii_only)}"


def _row(run: TrainingRun) -> dict[str, object]:
    known = run.summary or {}
    kept = {column.key: known.get(column.key) for column in COLUMNS}
    return {**kept, "run": run.name, "attention": run.plan.attention, "folder": str(run.folder)}


def _find(plan: TrainingPlan, files: Sequence[Path], answer: Answer, args: argparse.Namespace) -> int:
    rows, best = [], None
    control = Control()
    job = {"plan": plan.to_json(), "files": [str(path) for path in files]}
    try:
        with cancelling(control) as received:
            for event in events("find-lr", job, control, args.device):
                if event["event"] == "rate":
                    rows.append({"learning_rate": event["learning_rate"], "loss": event["loss"]})
                else:
                    best = event["learning_rate"]
    except BackendError as error:
        say(str(error))
        return NO_BACKEND
    except TaskError as error:
        say(f"train: {error}")
        return FAILED
    if received:
        return exit_code(received)
    columns = (
        Column("learning_rate", "learning rate", "right", 0, lambda rate: f"{rate:.2e}"),
        Column("loss", "smoothed loss", "right", 0, lambda loss: f"{loss:.4f}"),
    )
    answer.write(render(columns, rows, args.format, answer.width, answer.color, answer.ascii_only))
    say(f"{plan.name}: " + ("no rate can be suggested" if best is None else f"--learning-rate {best:.1e}"))
    return 0


@contextmanager
def _progress(total: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """How far the runs are: a bar with the time left on a terminal, else a line for each validation loss."""
    if not sys.stderr.isatty():
        yield _narrate
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        every = bar.add_task(f"{total} runs", total=total, said="")
        now = bar.add_task("starting", total=None, said="")

        def told(event: Mapping[str, Any]) -> None:
            match event:
                case {"event": "begun", "run": name, "step": step}:
                    bar.reset(now, total=None, completed=step, description=plain(name, 40), said="")
                case {"event": "log", "step": step, "steps": steps, "loss": loss, "tokens_per_s": rate}:
                    bar.update(now, total=steps, completed=step, said=f"loss {loss:.3f}, {rate:,.0f} tokens/s")
                case {"event": "trained"}:
                    bar.advance(every)

        yield told


def _narrate(event: Mapping[str, Any]) -> None:
    match event:
        case {"event": "begun", "run": name, "step": step, "parameters": weights}:
            say(f"{name}: {format_count(weights)} weights" + (f", from step {step}" if step else ""))
        case {"event": "log", "run": name, "step": step, "steps": steps, "val_loss": float() as loss, "seconds": spent}:
            left = timedelta(seconds=round(spent / step * (steps - step)))
            say(f"{name}: step {step:g} of {steps}, validation loss {loss:.4f}, {left} left")
