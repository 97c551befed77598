"""The command line: what was asked, and nothing else; everything that answers is imported late.

stdout is data and stderr is narration. Exit codes: 0 done (and with ``--check``: it fits), 1 failed, 2 wrong usage or
input, 3 backend not available, 4 does not fit (with ``--check``), 130 interrupted, 143 terminated.
"""

from __future__ import annotations

import gc
import os
import sys

from kvtui.commands.parser import (
    COLORS,
    COMMANDS,
    FASTEST,
    REPORT_FORMATS,
    SHELLS,
    SLOWEST,
    TABLE_FORMATS,
    build_parser,
    check_options,
    fail,
)
from kvtui.engine.basis.errors import InputError, UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Sequence
    from typing import NoReturn

    from kvtui.commands.parser import Parser
    from kvtui.engine.bootlog.observed import BootLog
    from kvtui.engine.scenario.scenario import Scenario
    from kvtui.engine.scenario.values import Values

FAILED, NOT_FITTING, INTERRUPTED = 1, 4, 130
BLAS_THREADS = "OPENBLAS_NUM_THREADS"
YOUNG_OBJECTS = 100_000


def main(argv: Sequence[str] | None = None) -> int:
    """Do what ``argv`` asks and return the exit code; wrong input is one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except InputError as error:
        fail(str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        fail(f"{error.filename or 'output'}: {error.strerror or error}", FAILED)


def run() -> NoReturn:
    """The console script: ``main`` with a quiet end on a closed pipe or an interrupt.

    Garbage is looked for less often than Python does by itself, since nearly all that a start makes is there to stay,
    and not at the very end, when all of it goes.
    """
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        gc.freeze()
    sys.exit(code)


def _dispatch(words: list[str]) -> int:
    parser = build_parser(_described(words))
    check_options(parser, words)
    if words[:1] == ["compare"]:
        return _compare(parser, words[1:])
    args = parser.parse_args(words)
    _choose("color", args.color, COLORS)
    if args.completion is not None:
        return _completion(parser, args.completion)
    match args.command:
        case "models" | "devices" | "doctor":
            return _table(args)
        case "estimate":
            return _estimate(args)
        case "bench":
            return _bench(args)
        case "plot":
            return _plot(args)
        case "reconcile":
            return _reconcile(args)
    if args.command == "compare":
        raise InputError("compare: comes first, and its options after it")
    if args.report is None and not args.check:
        return _app(args)
    return _report(args)


def _described(words: list[str]) -> Collection[str]:
    """Commands whose options are needed: those that are named, or all of them for completion and a misspelt one."""
    misspelt = words[:1] and not words[0].startswith("-") and words[0] not in COMMANDS
    return COMMANDS if misspelt or "--completion" in " ".join(words) else words


def _report(args: argparse.Namespace) -> int:
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.report import render
    from kvtui.report.document import document

    form = args.report or "text"
    _choose("report format", form, REPORT_FORMATS)
    found = document(scenario_from(vars(args)))
    width = _width(args) if form == "text" else 80
    text = render(found, form, width=width, color=_color(args), ascii_only=_ascii(args))
    _write(text, args.output)
    return NOT_FITTING if args.check and not found["memory"]["fits"] else 0


def _compare(parser: Parser, words: list[str]) -> int:
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.report import compare
    from kvtui.report.document import document

    groups: list[list[str]] = [[]]
    for word in words:
        if word == "--":
            groups.append([])
        else:
            groups[-1].append(word)
    parsed = [parser.parse_args(["compare", *group]) for group in groups]
    args = parsed[0]
    _choose("format", args.format, TABLE_FORMATS)
    _choose("color", args.color, COLORS)
    if len(groups) < 2:
        raise InputError("compare: give at least two scenarios, separated by --")
    documents = [document(scenario_from(vars(group))) for group in parsed]
    shown = compare.render(documents, args.format, width=_width(args), color=_color(args), ascii_only=_ascii(args))
    _write(shown, args.output)
    return 0


def _table(args: argparse.Namespace) -> int:
    from kvtui.output import table

    _choose("format", args.format, TABLE_FORMATS)
    if args.command == "doctor":
        from kvtui.commands.doctor import doctor

        columns, rows = doctor()
    else:
        from kvtui.report.listings import listing

        columns, rows = listing(args.command, args.search)
    width, color = _width(args), _color(args)
    _write(table.render(columns, rows, args.format, width, color, _ascii(args)), args.output)
    return 0


def _estimate(args: argparse.Namespace) -> int:
    from kvtui.commands.estimate import estimate

    return estimate(args, _width(args), _color(args), _ascii(args), lambda text: _write(text, args.output))


def _bench(args: argparse.Namespace) -> int:
    from kvtui.bench.table import Look
    from kvtui.commands.bench import bench

    return bench(args, Look(_width(args), _color(args), _ascii(args)), lambda text: _write(text, args.output))


def _plot(args: argparse.Namespace) -> int:
    from kvtui.commands.plot import plot

    return plot(args, _width(args), _color(args), _ascii(args), lambda text: _write(text, args.output))


def _reconcile(args: argparse.Namespace) -> int:
    from kvtui.engine.reconcile.reconcile import overheads_of, reconcile
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.sources.machines import check_name, save_profile
    from kvtui.report import reconcile as report

    _choose("format", args.format, TABLE_FORMATS)
    if args.save_profile is not None:
        check_name(args.save_profile)
    values = vars(args)
    found = reconcile(_boot_log(args.log), {option.key: values[option.key] for option in OPTIONS})
    if args.save_profile is not None:
        path = save_profile(overheads_of(found.scenario, found.measured, args.save_profile))
        print(f"kvtui: saved {path}", file=sys.stderr)
    shown = report.document(found)
    width, color = _width(args), _color(args)
    _write(report.render(shown, args.format, width=width, color=color, ascii_only=_ascii(args)), args.output)
    return 0


def _boot_log(name: str) -> BootLog:
    from kvtui.engine.reconcile.read_log import read_log

    if name == "-":
        return read_log(sys.stdin.buffer)
    try:
        with open(name, "rb") as stream:
            return read_log(stream)
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        from kvtui.engine.basis.untrusted import plain

        raise InputError(f"log: {plain(name)}: {plain(getattr(error, 'strerror', None) or str(error))}") from None


def _completion(parser: Parser, shell: str) -> int:
    import shtab

    _choose("shell", shell, SHELLS)
    _write(str(shtab.complete(parser, shell)) + "\n", None)
    return 0


def _app(args: argparse.Namespace) -> int:
    from kvtui.app.terminal import is_terminal, own_screen
    from kvtui.engine.scenario.options import OPTIONS

    if is_terminal():
        _numpy_beside()
    values = vars(args)
    opened = _opened(values) if any(values[option.key] is not None for option in OPTIONS) else None
    speed = None if args.speed is None else _speed(args.speed)
    if not is_terminal():
        fail("not a terminal; --report prints the plan without one")
    from kvtui.app.app import KvtuiApp
    from kvtui.state.session import Session
    from kvtui.state.settings import load
    from kvtui.state.themes import theme_names

    settings = load(values, theme_names())
    scenario, follows, note = opened or _reopened(values, settings.remember)
    session = Session(scenario, follows_device=follows)
    _ = session.plan
    app = KvtuiApp(session, settings, play=args.play, speed=speed, note=note)
    with own_screen():
        app.run()
    return app.return_code or 0


def _opened(values: Values) -> tuple[Scenario, bool, str]:
    """The scenario of ``values``, whether it follows its device, and nothing to say about it."""
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.state.remembered import FOLLOWING_THE_DEVICE

    follows = all(values[key] is None for key in FOLLOWING_THE_DEVICE)
    return scenario_from(_first(values) if follows else values), follows, ""


def _reopened(values: Values, remember: bool) -> tuple[Scenario, bool, str]:
    """The scenario that the app was left with, or else the first one, with the reason if there should be another."""
    from kvtui.state.remembered import read

    if not remember:
        return _opened(values)
    try:
        return _opened({**values, **read()})
    except InputError as error:
        return *_opened(values)[:2], f"the last scenario is left out: {error}"


def _numpy_beside() -> None:
    """Import numpy in a thread, so that its libraries load while the terminal's own modules do.

    The app multiplies no matrices: OpenBLAS is asked not to start a thread for each core, and only here, so that
    programs that the app starts are free to.
    """
    from threading import Thread

    def load() -> None:
        import numpy  # noqa: F401

        if alone:
            del os.environ[BLAS_THREADS]

    alone = BLAS_THREADS not in os.environ
    os.environ.setdefault(BLAS_THREADS, "1")
    Thread(target=load, daemon=True).start()


def _first(values: Values) -> Values:
    """``values`` with the defaults of the device's class, for when nothing but a device was chosen."""
    from kvtui.engine.device.catalogue import find_device
    from kvtui.engine.scenario.starting import defaults_for
    from kvtui.engine.scenario.values import DEFAULT_DEVICE

    found = defaults_for(find_device(str(values["gpu"] or DEFAULT_DEVICE)))
    return {
        **values,
        "model": found.model,
        "context": str(found.context),
        "batch": str(found.batch),
        "cb": found.continuous_batching,
        "pa": found.paged_attention,
        "fa": found.flash_attention,
    }


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not SLOWEST <= value <= FASTEST:
        from kvtui.engine.basis.untrusted import plain

        raise InputError(f"--speed: '{plain(text)}' is not a number from {SLOWEST:g} to {FASTEST:g}")
    return value


def _choose(what: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UnknownName(what, value, allowed)


def _color(args: argparse.Namespace) -> bool:
    if args.color != "auto":
        return bool(args.color == "always")
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return args.output is None and not plain and sys.stdout.isatty()


def _ascii(args: argparse.Namespace) -> bool:
    if args.ascii or args.output is not None:
        return bool(args.ascii)
    try:
        "█≈".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return True
    return False


def _width(args: argparse.Namespace) -> int:
    from shutil import get_terminal_size

    return max(60, get_terminal_size((80, 24)).columns) if args.output is None else 80


def _write(text: str, output: str | None) -> None:
    """Write ``text`` to stdout, or to a file that appears whole or not at all."""
    if output is None or output == "-":
        sys.stdout.write(text)
        return
    from pathlib import Path

    from kvtui.engine.basis.files import write_whole

    write_whole(Path(output), text)
