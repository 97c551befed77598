"""``kvtui bench``: run the sweep or the decode comparison, show a stored run, compare two.

Tables go to stdout; the progress bar and everything else to stderr. What was measured is kept however it ends.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui import __version__
from kvtui.attach.cluster import DaskCluster, LostClusterError, connected
from kvtui.bench import runner, store, table
from kvtui.bench.compare import compare
from kvtui.bench.findings import findings
from kvtui.bench.quiet import load_of
from kvtui.bench.runner import BackendError, Control, Event, NoMemoryError, Outcome, Progress, Started
from kvtui.bench.table import TableStyle
from kvtui.cases import groups
from kvtui.cases.case import SweepRow
from kvtui.cases.sweep import BUDGETS, decode_rows, sweep
from kvtui.cases.table import ColumnValues, is_number
from kvtui.commands import bench_jobs
from kvtui.commands.answer import Answer
from kvtui.commands.interrupts import cancelling, exit_code
from kvtui.commands.measuring import budget_of, need_jax
from kvtui.commands.narration import say
from kvtui.commands.parser import add_output, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import counted, parse_count, parse_tokens
from kvtui.engine.basis.untrusted import plain, shell_word

if TYPE_CHECKING:
    import argparse

FAILED, NO_BACKEND = 1, 3
FIGURES = "figures"
MOST_REPEATS = 1000
OWN_OPTIONS = {
    "ensemble": ("heads", "gammas", "beta", "temperature", "checkpoint"),
    "sharded": ("tp", "coordinator", "processes", "process"),
}
NOT_ON_A_CLUSTER = ("trained", "list_groups", "compare", "plot_only")
CHOSEN_AT_START = ("groups", "size", "n_warmup", "n_trials", "repeat", "positions", "device")


def add(parser: argparse.ArgumentParser) -> None:
    """What to measure, how often, and what to do with what was measured."""
    parser.description = "Measure attention variants on this machine, and store and print what was measured."
    parser.add_argument(
        "what",
        nargs="?",
        default="sweep",
        help="sweep (default), decode: variants side by side, by position, ensemble: speculation and averaging, or "
        "sharded: decode over several devices",
    )
    parser.add_argument("--groups", nargs="+", metavar="G", help="only these groups of the sweep")
    parser.add_argument("--list-groups", action="store_true", help="print the groups with their axes and rows")
    parser.add_argument("--size", metavar="SIZE", help="fast, default or full")
    parser.add_argument("--n-warmup", metavar="N", help="calls before the first sample, at least")
    parser.add_argument("--n-trials", metavar="N", help="samples of each series, at least")
    parser.add_argument("--repeat", metavar="N", help="measure every case N times, in N shuffled passes")
    parser.add_argument("--trained", action="store_true", help="then measure the models that kvtui train made")
    parser.add_argument("--inference-off", action="store_true", help="with --trained: leave the sweep out")
    parser.add_argument("--runs-dir", metavar="DIR", help="with --trained: where the models are (default: runs)")
    parser.add_argument("--batch-sizes", nargs="+", metavar="N", help="with --trained: its batches (default: 1 to 64)")
    parser.add_argument("--positions", metavar="N,N,...", help="bench decode: tokens in the cache to time a step at")
    parser.add_argument("--heads", metavar="N", help="bench ensemble: heads over the shared trunk")
    parser.add_argument("--gammas", nargs="+", metavar="N", help="bench ensemble: tokens drafted in a round")
    parser.add_argument("--beta", metavar="X", help="bench ensemble: exponent of the product of experts")
    parser.add_argument("--temperature", metavar="X", help="bench ensemble: 0 is greedy")
    parser.add_argument("--checkpoint", metavar="RUN", help="bench ensemble: a trained model, instead of a random one")
    parser.add_argument("--tp", nargs="+", metavar="N", help="bench sharded: over so many devices (default: 2 4 8)")
    parser.add_argument("--coordinator", metavar="HOST:PORT", help="bench sharded: where several processes meet")
    parser.add_argument("--processes", metavar="N", help="bench sharded: how many there are")
    parser.add_argument("--process", metavar="I", help="bench sharded: which of them this is, from 0")
    parser.add_argument("--device", metavar="NAME", help="cpu, gpu, tpu, cuda:1 or a number")
    parser.add_argument("--dask", metavar="ADDRESS", help="measure on a Dask cluster, such as tcp://host:8786")
    parser.add_argument("--out", metavar="DIR", help=f"where runs are kept (default: {store.OUT})")
    stages = parser.add_mutually_exclusive_group()
    stages.add_argument("--sweep-only", action="store_true", help="measure, and keep no figures")
    stages.add_argument("--plot-only", action="store_true", help="measure nothing: draw the newest run of --out")
    parser.add_argument("--resume", nargs="?", const="", metavar="RUN", help="finish RUN, or the newest unfinished one")
    parser.add_argument(
        "--compare", nargs=2, metavar="RUN", help="what became faster or slower from one run to another"
    )
    parser.add_argument("--format", metavar="FORMAT", default="text", help="text, md, csv, json, jsonl")
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, draw or compare what was asked for, and return the exit code.

    Raises InputError for options that are wrong or exclude each other, OSError when results cannot be stored.
    """
    answer = Answer(args, args.format)
    write, look = answer.write, TableStyle(answer.width, answer.color, answer.ascii_only)
    choose("format", args.format, table.FORMATS)
    size = args.size or "default"
    choose("size", size, groups.SIZES)
    choose("benchmark", args.what, ("sweep", "decode", *OWN_OPTIONS))
    for what, names in OWN_OPTIONS.items():
        for name in names:
            if getattr(args, name) is not None and args.what != what:
                raise InputError(f"--{name}: belongs to kvtui bench {what}")
    if args.dask is not None and (args.what in OWN_OPTIONS or any(getattr(args, name) for name in NOT_ON_A_CLUSTER)):
        raise InputError("--dask: goes with the sweep and with bench decode, while they measure")
    if args.list_groups:
        write(table.group_table(groups.find_groups(args.groups), size, args.format, look))
        return 0
    if args.compare:
        a, b = map(Path, args.compare)
        return _compare(a, b, args.format, look, write)
    if args.plot_only:
        stored = store.read(store.find_run(Path(args.out or store.OUT)))
        write(_drawn(stored, look) if args.format == "text" else _shown(stored, args.format, look))
        return 0
    if args.what == "ensemble":
        from kvtui.commands import ensemble

        return ensemble.run(args, answer)
    if args.what == "sharded":
        from kvtui.commands import sharded

        return sharded.run(args, answer)
    if not args.trained:
        for name in ("inference_off", "runs_dir", "batch_sizes"):
            if getattr(args, name):
                raise InputError(f"--{name.replace('_', '-')}: belongs to --trained")
        return _measure(args, size, look, write)
    from kvtui.commands.trained import TrainedBench

    stage = TrainedBench.of(args, size)
    code = 0 if args.inference_off else _measure(args, size, look, write)
    return code or stage.run(answer, args.format)


def _compare(a: Path, b: Path, form: str, look: TableStyle, write: Callable[[str], None]) -> int:
    runs = [store.read(store.find_run(path)) for path in (a, b)]
    found = compare(*runs)
    for name, first, second in found.hosts:
        say(f"different {name}: {plain(str(first))} and {plain(str(second))}")
    loads = [run.host.get("load_average") for run in runs]
    if all(map(is_number, loads)) and loads[0] != loads[1]:
        say(f"load average at the start: {loads[0]:.1f} and {loads[1]:.1f}; a busy machine is slower")
    say(f"{len(found.rows)} rows compared, {len(found.changed)} differ beyond noise or stand in one run only")
    if found.changed or form not in {"text", "md"}:
        write(table.compare_table(found, form, look))
    return 0


def _measure(args: argparse.Namespace, size: str, look: TableStyle, write: Callable[[str], None]) -> int:
    with nullcontext() if args.dask is None else connected(args.dask) as cluster:
        writer = _again(args) if args.resume is not None else _begin(args, size)
        control, code = Control(), 0
        try:
            with cancelling(control) as interrupted:
                _work(writer, control, cluster)
        except LostClusterError as error:
            say(str(error))
            code = FAILED
        except BackendError as error:
            say(str(error))
            code = FAILED if isinstance(error, NoMemoryError) else NO_BACKEND
    if code and (cluster is None or not writer.measured):
        return code
    if writer.measured:
        stored = store.read(writer.folder)
        found = findings(stored.rows, stored.host)
        if args.format == "text":
            write(_shown(stored, args.format, look) + "".join(f"{one}\n" for one in ["", *_wrapped(found, look)]))
        else:
            write(_shown(stored, args.format, look))
            for sentence in found:
                say(sentence)
        if not args.sweep_only:
            _keep_figures(writer.folder)
    again = f"kvtui bench --resume {shell_word(str(writer.folder))}"
    if interrupted:
        say(f"interrupted; {f'{again} measures the rest' if writer.measured else 'nothing was measured'}")
        return exit_code(interrupted)
    left = len(writer.jobs_left)
    if code:
        say(f"{counted(left, 'case')} left; {again} measures them")
        return code
    if left:
        say(f"{counted(left, 'case')} failed for a reason that can pass; {again} tries again")
    return FAILED if any(one.record["status"] in table.FAILED for one in writer.measured) else 0


def _work(writer: store.Writer, control: Control, cluster: DaskCluster | None) -> None:
    """Measure what is left of a run, here or on a ``cluster``, and close it."""
    jobs, device, finished = writer.jobs_left, writer.about.get("device"), False
    device = device if isinstance(device, str) else None
    try:
        counts = f"{counted(len(jobs), 'case')}, {counted(len(writer.sweep.rows), 'row')}"
        say(f"{counts}, results in {plain(str(writer.folder), limit=400)}")
        with _narration(writer) as listener:
            if cluster is None:
                end = runner.run(jobs, listener, control=control, device=device)
            else:
                end = bench_jobs.run(jobs, listener, cluster, control=control, device=device, say=say)
        finished = end == "finished"
    finally:
        writer.close(finished)


def _begin(args: argparse.Namespace, size: str) -> store.Writer:
    if args.dask is None:
        need_jax()
    budget = budget_of(args, BUDGETS[size])
    repeat = 1 if args.repeat is None else parse_count(args.repeat, "--repeat", MOST_REPEATS)
    positions = None if args.positions is None else _positions(args.positions)
    if args.what == "decode":
        if args.groups:
            raise InputError("--groups: belongs to the sweep; bench decode compares four attention variants")
        rows, positions = decode_rows(size, positions)
    elif positions:
        raise InputError("--positions: belongs to kvtui bench decode")
    else:
        rows, positions = tuple(row for group in groups.find_groups(args.groups) for row in group.rows(size)), ()
    about = {
        "kvtui": __version__,
        "what": args.what,
        "size": size,
        "groups": list(dict.fromkeys(row.group for row in rows)),
        "repeat": repeat,
        "device": args.device,
        "arguments": [plain(word) for word in sys.argv[1:]],
        **({} if args.dask is None else {"hosts": []}),
    }
    return store.Writer.begin(Path(args.out or store.OUT), sweep(rows, budget, repeat, positions=positions), about)


def _again(args: argparse.Namespace) -> store.Writer:
    for name in CHOSEN_AT_START:
        if getattr(args, name) is not None:
            option = name.replace("_", "-")
            raise InputError(f"--{option}: a resumed run goes on as it was begun; leave the option out")
    if args.dask is None:
        need_jax()
    writer = store.Writer.again(store.find_run(Path(args.resume or args.out or store.OUT), unfinished=True))
    if args.dask is not None and "hosts" not in writer.about:
        writer.close(False)
        raise InputError("--dask: the run was begun on one machine, and goes on there")
    return writer


def _positions(text: str) -> tuple[int, ...]:
    return tuple(sorted({parse_tokens(word, "--positions") for word in text.split(",")}))


def _shown(run: store.StoredRun, form: str, look: TableStyle) -> str:
    if run.about.get("what") == "decode":
        return table.decode_table(run, form, look)
    return table.sweep_table(run.rows, form, look)


def _wrapped(sentences: Iterable[str], look: TableStyle) -> Iterator[str]:
    """What was found, as rows of text."""
    from kvtui.output.lines import to_ascii, wrap

    for sentence in sentences:
        yield from wrap(to_ascii(plain(sentence, 1000)) if look.ascii_only else plain(sentence, 1000), look.width, 2)


def _drawn(run: store.StoredRun, look: TableStyle) -> str:
    """The run's figures as text, one under the other."""
    from rich.color import ColorSystem

    from kvtui.bench.figures import figures_of
    from kvtui.plots.draw import render_text

    system = ColorSystem.EIGHT_BIT if look.color else None
    figures = [figure for figure in figures_of(run).values() if figure.panels]
    return "\n".join(render_text(one, look.width, system=system, ascii_only=look.ascii_only) for one in figures)


def _keep_figures(folder: Path) -> None:
    """Put the run's figures beside its tables, as SVG, and as PNG too where that can be drawn."""
    from kvtui.bench.figures import read
    from kvtui.plots.keep import keep

    target = folder / FIGURES
    target.mkdir(exist_ok=True)
    for figure in read(folder).values():
        if figure.panels:
            keep(target, figure.id, figure)
    say(f"figures in {plain(str(target), limit=400)}")


@contextmanager
def _narration(writer: store.Writer) -> Iterator[Callable[[Event], None]]:
    """A listener that stores outcomes, and tells a terminal by a bar and anything else by a line per case."""
    if not sys.stderr.isatty():
        yield lambda event: _narrate(writer, event)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[left]}"), TextColumn("{task.description}"))
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        names = _names(writer.sweep.rows)
        task = bar.add_task("starting", total=len(writer.jobs_left), left="")

        def listener(event: Event) -> None:
            match event:
                case Progress(done, _, job, stage, left):
                    what = stage if job is None else f"{names[job.case.key]}: {stage}"
                    bar.update(task, completed=done, left=_left(left), description=what)
                case Outcome(job, record, _) if record["status"] != "ok":
                    bar.console.print(_failure(names[job.case.key], record), markup=False, highlight=False)
            _keep(writer, event)

        yield listener


def _narrate(writer: store.Writer, event: Event) -> None:
    rows = _keep(writer, event)
    match event:
        case Outcome(_, record, _) if record["status"] != "ok":
            say(_failure(f"{rows[0]['group']}, {rows[0]['label']}", record))
        case Outcome():
            shared = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
            step = rows[0]["decode_step_ms_p50"]
            where = f" on {rows[0]['host']}" if "hosts" in writer.about else ""
            found = "" if step is None else table.ms(step)
            say(f"{rows[0]['group']}, {rows[0]['label']}{shared}: {found} ms per step{where}")


def _keep(writer: store.Writer, event: Event) -> Sequence[ColumnValues]:
    """Store what came of ``event``; the table lines of an outcome. Raises InputError on another machine than before."""
    match event:
        case Started(host):
            writer.host(host)
            if load := load_of(host):
                say(f"the machine is busy: {load}; what is measured now is that of a busy machine")
        case Outcome():
            return writer.add(event)
    return ()


def _names(rows: Sequence[SweepRow]) -> dict[str, str]:
    return {row.case.key: f"{row.group}, {row.label}" for row in reversed(rows)}


def _failure(name: str, record: Any) -> str:
    return plain(f"{name}: {record['status']}: {record.get('message')}", limit=500)


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"
