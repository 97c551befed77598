"""``kvtui watch``: a running server's cache, live or from a recording: in the app, in lines, or once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.narration import say
from kvtui.commands.parser import TABLE_FORMATS, add_output, add_scenario, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from kvtui.attach.attachment import Attachment, Watched
    from kvtui.engine.live.check import Condition
    from kvtui.engine.live.servers import ToldBesides
    from kvtui.engine.live.snapshot import Snapshot
    from kvtui.engine.scenario.scenario import Scenario
    from kvtui.engine.scenario.values import Values
    from kvtui.report.observed.document import Observed

LEAST_SECONDS, MOST_SECONDS = 0.1, 3600.0
DOES_NOT_HOLD = 4
NO_SERVER = 3
MOST_KEPT = 3600
MINUTE = 60.0


def add(parser: argparse.ArgumentParser) -> None:
    """The servers or the recording, what is done with what is seen, and the scenario's options of the plan beside."""
    parser.description = (
        "Watch the cache of a running vLLM, SGLang, llama.cpp, TensorRT-LLM, TGI, Ollama or LM Studio server, beside "
        "the plan of the same server. Without an address the usual ports of this machine's loopback are looked at. "
        "Options of a scenario say what the server does not tell, such as --gpu."
    )
    parser.add_argument("server", metavar="URL|FILE", nargs="*", help="servers, prometheus:URL, or one recording")
    parser.add_argument("--once", action="store_true", help="one snapshot, and the end")
    parser.add_argument("--format", metavar="FORMAT", default="text", help=", ".join(TABLE_FORMATS))
    parser.add_argument(
        "--check", metavar="CONDITION", action="append", help="such as 'kv_used < 90 %%'; exit 4 if not"
    )
    parser.add_argument("--record", metavar="FILE", help="add every snapshot to FILE, which kvtui watch FILE plays")
    parser.add_argument("--demo", action="store_true", help="play a recording that comes with kvtui")
    parser.add_argument("--interval", metavar="SECONDS", help="between two snapshots (default 1)")
    parser.add_argument("--speed", metavar="X", help="play a recording X times as fast as it was recorded")
    parser.add_argument("--slo", metavar="LIST", help="objectives, such as ttft=500ms,tpot=50ms: how many meet them")
    parser.add_argument("--token", metavar="TOKEN", help="bearer token; better KVTUI_TOKEN, or --token-file")
    parser.add_argument("--token-file", metavar="FILE", help="file with the bearer token")
    parser.add_argument("--save-profile", metavar="NAME", help="keep what the server keeps beside its cache")
    add_output(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Watch, and return the exit code: 4 where a condition does not hold, 3 where no server answers.

    Raises InputError for options that are wrong, and OSError when something cannot be written.
    """
    from kvtui.app.terminal import is_terminal
    from kvtui.attach.opening import recording_in, watched_at
    from kvtui.attach.token import read_token
    from kvtui.engine.live.check import read_condition
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.sources.machines import check_name

    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    conditions = [read_condition(text) for text in args.check or ()]
    if args.save_profile is not None:
        check_name(args.save_profile)
    values = {option.key: vars(args)[option.key] for option in OPTIONS}
    once = args.once or bool(conditions) or args.save_profile is not None
    names = _names(args)
    recording = recording_in(names)
    if recording is not None and args.record is not None:
        raise InputError("--record: a recording is not recorded again")
    if not once and args.format == "text" and args.output is None and is_terminal():
        return _open_app(args, names, values)
    if recording is not None:
        return _play(recording, args, answer, values, conditions, once=once)
    watched = watched_at(names, read_token(args.token, args.token_file), _told(values))
    if once:
        return _once(watched, args, answer, values, conditions)
    return _stream(watched, args, answer, values)


def _names(args: argparse.Namespace) -> list[str]:
    """What is to be watched or played."""
    from kvtui.attach.opening import DEMO

    if args.demo and args.server:
        raise InputError("--demo: plays a recording of its own, not another one or a server")
    return [DEMO] if args.demo else list(args.server)


def _told(values: Values) -> ToldBesides:
    from kvtui.engine.live.servers import ToldBesides

    unified = values["kv_unified"]
    return ToldBesides(unified if isinstance(unified, bool) else None)


def _open_app(args: argparse.Namespace, names: Sequence[str], values: Values) -> int:
    """The app on the screen of what is watched; what it can plan with are the options of the scenario."""
    from kvtui.app.start import begin
    from kvtui.app.terminal import Ending, show

    begin()
    ending = Ending()
    from kvtui.app.app import KvtuiApp, WatchStart
    from kvtui.attach.opening import source_of
    from kvtui.attach.token import read_token
    from kvtui.commands.app import reopened
    from kvtui.state.session import Session
    from kvtui.state.settings import load
    from kvtui.state.themes import theme_names

    token, seconds = read_token(args.token, args.token_file), _seconds(args)
    nothing = {**dict.fromkeys(values), "theme": None, "motion": None, "fps": None, "ascii": args.ascii}
    settings = load(nothing, theme_names())
    scenario, follows, note = reopened(nothing, settings.remember)
    speed = 1.0 if args.speed is None else _positive(args.speed, "--speed", 0.25, 64)
    traffic = WatchStart(
        source_of(names, token, _told(values), seconds, args.record),
        {key: value for key, value in values.items() if value is not None},
        lambda text: source_of([text] if text else [], token, _told(values), seconds),
        speed,
    )
    app = KvtuiApp(Session(scenario, follows_device=follows), settings, note=note, traffic=traffic)
    return show(app, ending)


def _seconds(args: argparse.Namespace) -> float:
    return _positive(args.interval, "--interval", LEAST_SECONDS, MOST_SECONDS) if args.interval else 1.0


def _play(
    path: str, args: argparse.Namespace, answer: Answer, values: Values, conditions: Sequence[Condition], *, once: bool
) -> int:
    """A recording: its end with ``once``, else every snapshot, at its own pace with --speed."""
    from kvtui.attach.opening import snapshots_of

    speed = _positive(args.speed, "--speed", 1e-3, 1e6) if args.speed is not None else None
    history: dict[str, list[Snapshot]] = {}
    moments = 0
    before = None
    for snapshot in snapshots_of(path):
        moments += 1
        seen = history.setdefault(snapshot.address, [])
        seen.append(snapshot)
        del seen[:-MOST_KEPT]
        if once:
            continue
        if speed is not None and before is not None:
            _wait(max(0.0, snapshot.time - before) / speed)
        before = snapshot.time
        _put_line(answer, args.format, _observed(seen, values, plan=False, slo=args.slo), first=moments == 1)
    if not moments:
        raise InputError(f"{plain(path, 400)}: has no snapshots")
    if not once:
        return 0
    servers = [_observed(seen, values, plan=True, slo=args.slo) for seen in history.values()]
    return _concluded(servers, args, answer, conditions)


def _once(
    watched: Sequence[Watched],
    args: argparse.Namespace,
    answer: Answer,
    values: Values,
    conditions: Sequence[Condition],
) -> int:
    from kvtui.attach.recorder import Recorder

    found = [snapshot for one in watched for snapshot in one.looks()]
    for one in watched:
        one.close()
    if args.record is not None:
        with Recorder(args.record) as recorder:
            for snapshot in found:
                recorder.add(snapshot)
    return _concluded(
        [_observed([snapshot], values, plan=True, slo=args.slo) for snapshot in found], args, answer, conditions
    )


def _concluded(
    servers: Sequence[Observed], args: argparse.Namespace, answer: Answer, conditions: Sequence[Condition]
) -> int:
    """Print what was observed, and what follows from it for the exit code."""
    from kvtui.engine.live.check import figures, holds
    from kvtui.engine.live.interval import lifetime
    from kvtui.report.observed.document import document
    from kvtui.report.observed.formats import render

    told = document(servers)
    answer.write(render(told, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only))
    if args.save_profile is not None:
        _save(servers, args.save_profile)
    up = [one for one in servers if one.snapshot.state in ("up", "asleep")]
    if len(up) < len(servers):
        return NO_SERVER
    failed = False
    for one in servers:
        since = one.interval if one.interval.seconds else lifetime(one.snapshot)
        for condition in conditions:
            held = holds(condition, figures(one.snapshot, since))
            if held is None:
                raise InputError(f"--check: {one.snapshot.address} does not tell {condition.name}")
            if not held:
                say(f"{one.snapshot.address}: {condition.text} does not hold")
                failed = True
    return DOES_NOT_HOLD if failed else 0


def _save(servers: Sequence[Observed], name: str) -> None:
    from kvtui.engine.reconcile.reconcile import overheads_of
    from kvtui.engine.sources.machines import save_profile

    if len(servers) != 1:
        raise InputError("--save-profile: goes with one server")
    plan = servers[0].plan
    if plan is None:
        raise InputError(f"--save-profile: {servers[0].plan_error}")
    if not plan.known_device:
        raise InputError("--save-profile: what a machine keeps is not known without its device: name it with --gpu")
    say(f"saved {save_profile(overheads_of(plan.scenario, plan.measured, name))}")


def _stream(watched: Sequence[Watched], args: argparse.Namespace, answer: Answer, values: Values) -> int:
    """A line for every snapshot of every server, until the end of the one who reads."""
    from queue import SimpleQueue

    from kvtui.attach.attachment import Attachment
    from kvtui.attach.recorder import Recorder

    seconds = _seconds(args)
    queue: SimpleQueue[Snapshot] = SimpleQueue()
    recorder = None if args.record is None else Recorder(args.record)
    attachments: list[Attachment] = [Attachment(one, queue.put, seconds).start() for one in watched]
    history: dict[str, list[Snapshot]] = {}
    first = True
    try:
        while True:
            snapshot = queue.get()
            if recorder is not None:
                recorder.add(snapshot)
            seen = history.setdefault(snapshot.address, [])
            seen.append(snapshot)
            del seen[:-MOST_KEPT]
            _put_line(
                answer,
                args.format,
                _observed(seen, values, plan=False, slo=args.slo),
                first=first,
                named=len(watched) > 1,
            )
            first = False
    finally:
        for attachment in attachments:
            attachment.stop()
        if recorder is not None:
            recorder.close()


def _put_line(answer: Answer, form: str, found: Observed, *, first: bool, named: bool = False) -> None:
    from kvtui.report.observed.document import document, section
    from kvtui.report.observed.formats import render, text_line

    match form:
        case "json":
            from json import dumps

            from kvtui.output.harmless import clean

            text = dumps(clean(section(found)), ensure_ascii=False, separators=(",", ":")) + "\n"
        case "csv":
            text = render(document([found]), "csv")
            text = text if first else text.partition("\n")[2]
        case "markdown":
            raise InputError("--format: markdown goes with --once")
        case _:
            line = text_line(found)
            text = f"{found.snapshot.address}  {line}\n" if named else f"{line}\n"
            if answer.ascii_only:
                from kvtui.output.lines import to_ascii

                text = to_ascii(text)
    if answer.output is not None:
        raise InputError("-o: goes with --once; --record keeps what is seen")
    answer.write(text)
    sys.stdout.flush()


def planned_as_observed(name: str, values: Values) -> tuple[Scenario, Observed]:
    """The scenario of the server ``name``, or of the end of a recording, and what was observed of it.

    Option ``values`` say what it does not tell. Raises InputError where it does not answer, or has no plan.
    """
    from kvtui.attach.opening import recording_in, snapshots_of, watched_at
    from kvtui.attach.token import read_token
    from kvtui.engine.scenario.options import OPTIONS

    given = {option.key: values[option.key] for option in OPTIONS}
    path = recording_in([name])
    if path is None:
        (watched,) = watched_at([name], read_token(None, None), _told(given))
        history = list(watched.looks())
        watched.close()
    else:
        history = list(snapshots_of(path))
    if not history or history[-1].state not in ("up", "asleep"):
        raise InputError(f"--observed: {history[-1].state}: {history[-1].said}" if history else "--observed: is empty")
    seen = _observed([one for one in history if one.address == history[-1].address], given, plan=True)
    if seen.plan is None:
        raise InputError(f"--observed: {seen.plan_error}")
    return seen.plan.scenario, seen


def _observed(history: Sequence[Snapshot], values: Values, *, plan: bool, slo: str | None = None) -> Observed:
    """The last snapshot of ``history`` with what follows from all of it."""
    from kvtui.commands.replay import read_objectives
    from kvtui.engine.live.advisor import findings
    from kvtui.engine.live.beside import plan_beside
    from kvtui.engine.live.binds import binds
    from kvtui.engine.live.interval import Interval, between, met
    from kvtui.report.observed.document import Observed

    last = history[-1]
    since = last.time - MINUTE if plan else last.time
    earlier = [one for one in history[:-1] if one.ranks and one.counters_at < last.counters_at]
    before = next((one for one in earlier if one.time >= since), earlier[-1] if earlier else None)
    interval = between(before, last) if before is not None else Interval(0.0)
    binding = binds(last, interval)
    limits = read_objectives(slo)
    in_time = met(before, last, limits.first_token, limits.per_token)
    if not plan or last.state not in ("up", "asleep"):
        return Observed(last, interval, binding, in_time=in_time)
    try:
        beside = plan_beside(last, values)
    except InputError as error:
        return Observed(last, interval, binding, findings(history, None), None, str(error), in_time)
    return Observed(last, interval, binding, findings(history, beside), beside, in_time=in_time)


def _positive(text: str, option: str, least: float, most: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not least <= number <= most:
        raise InputError(f"{option}: '{plain(text, 40)}' is not a number of {least:g} to {most:g}")
    return number


def _wait(seconds: float) -> None:
    from time import sleep

    sleep(min(seconds, 60.0))
