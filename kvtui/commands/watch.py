"""``kvtui watch``: a running server's cache, live or from a recording: in the app, in lines, or once."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kvtui.commands.answer import Answer
from kvtui.commands.narration import say
from kvtui.commands.parser import add_output, add_scenario, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from kvtui.attach.attachment import Attachment, Watched
    from kvtui.engine.live.check import Condition
    from kvtui.engine.live.snapshot import Snapshot
    from kvtui.engine.scenario.values import Values
    from kvtui.report.observed import Observed

FORMATS = ("text", "json", "csv", "markdown")
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
    parser.add_argument("--format", metavar="FORMAT", default="text", help=", ".join(FORMATS))
    parser.add_argument(
        "--check", metavar="CONDITION", action="append", help="such as 'kv_used < 90 %%'; exit 4 if not"
    )
    parser.add_argument("--record", metavar="FILE", help="add every snapshot to FILE, which kvtui watch FILE plays")
    parser.add_argument("--demo", action="store_true", help="play a recording that comes with kvtui")
    parser.add_argument("--interval", metavar="SECONDS", help="between two snapshots (default 1)")
    parser.add_argument("--speed", metavar="X", help="play a recording X times as fast as it was recorded")
    parser.add_argument("--token", metavar="TOKEN", help="bearer token; better KVTUI_TOKEN, or --token-file")
    parser.add_argument("--token-file", metavar="FILE", help="file with the bearer token")
    parser.add_argument("--save-profile", metavar="NAME", help="keep what the server keeps beside its cache")
    add_output(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Watch, and return the exit code: 4 where a condition does not hold, 3 where no server answers.

    Raises InputError for options that are wrong, and OSError when something cannot be written.
    """
    from kvtui.engine.live.check import read_condition
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.sources.machines import check_name

    answer = Answer(args, args.format)
    choose("format", args.format, FORMATS)
    conditions = [read_condition(text) for text in args.check or ()]
    if args.save_profile is not None:
        check_name(args.save_profile)
    values = {option.key: vars(args)[option.key] for option in OPTIONS}
    once = args.once or bool(conditions) or args.save_profile is not None
    recording = _recording(args)
    if recording is not None:
        if args.record is not None:
            raise InputError("--record: a recording is not recorded again")
        return _play(recording, args, answer, values, conditions, once=once)
    if once:
        return _once(_watched(args, values), args, answer, values, conditions)
    return _stream(_watched(args, values), args, answer, values)


def _recording(args: argparse.Namespace) -> str | None:
    """The path of the recording to play; None where servers are watched."""
    import os

    if args.demo:
        if args.server:
            raise InputError("--demo: plays a recording of its own, not another one or a server")
        from kvtui.engine.basis.places import DATA

        return os.path.join(DATA, "recordings", "vllm.jsonl")
    files = [name for name in args.server if "://" not in name and (os.path.exists(name) or name.endswith(".jsonl"))]
    if files and len(args.server) > 1:
        raise InputError(f"watch: '{plain(files[0])}' is a recording, which is played alone")
    return files[0] if files else None


def _snapshots(path: str) -> Iterator[Snapshot]:
    from io import TextIOWrapper

    from kvtui.engine.basis.files import open_to_read, unreadable
    from kvtui.engine.live.recording import read_recording

    try:
        stream = open_to_read(path)
    except OSError as error:
        raise unreadable(path, error) from None
    with stream, TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="\n") as lines:
        yield from read_recording(lines, plain(path, 400))


def _play(
    path: str, args: argparse.Namespace, answer: Answer, values: Values, conditions: Sequence[Condition], *, once: bool
) -> int:
    """A recording: its end with ``once``, else every snapshot, at its own pace with --speed."""
    speed = _positive(args.speed, "--speed", 1e-3, 1e6) if args.speed is not None else None
    history: dict[str, list[Snapshot]] = {}
    moments = 0
    before = None
    for snapshot in _snapshots(path):
        moments += 1
        seen = history.setdefault(snapshot.address, [])
        seen.append(snapshot)
        del seen[:-MOST_KEPT]
        if once:
            continue
        if speed is not None and before is not None:
            _wait(max(0.0, snapshot.time - before) / speed)
        before = snapshot.time
        _put_line(answer, args.format, _observed(seen, values, plan=False), first=moments == 1)
    if not moments:
        raise InputError(f"{plain(path, 400)}: has no snapshots")
    if not once:
        return 0
    servers = [_observed(seen, values, plan=True) for seen in history.values()]
    return _concluded(servers, args, answer, conditions)


def _once(
    watched: Sequence[Watched],
    args: argparse.Namespace,
    answer: Answer,
    values: Values,
    conditions: Sequence[Condition],
) -> int:
    from kvtui.attach.recorder import Recorder

    found = [snapshot for one in watched for snapshot in (one.look(),)]
    for one in watched:
        one.close()
    if args.record is not None:
        with Recorder(args.record) as recorder:
            for snapshot in found:
                recorder.add(snapshot)
    return _concluded([_observed([snapshot], values, plan=True) for snapshot in found], args, answer, conditions)


def _concluded(
    servers: Sequence[Observed], args: argparse.Namespace, answer: Answer, conditions: Sequence[Condition]
) -> int:
    """Print what was observed, and what follows from it for the exit code."""
    from kvtui.engine.live.check import figures, holds
    from kvtui.engine.live.interval import lifetime
    from kvtui.report import observed as report

    told = report.document(servers)
    answer.write(report.render(told, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only))
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

    seconds = _positive(args.interval, "--interval", LEAST_SECONDS, MOST_SECONDS) if args.interval else 1.0
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
            _put_line(answer, args.format, _observed(seen, values, plan=False), first=first, named=len(watched) > 1)
            first = False
    finally:
        for attachment in attachments:
            attachment.stop()
        if recorder is not None:
            recorder.close()


def _put_line(answer: Answer, form: str, found: Observed, *, first: bool, named: bool = False) -> None:
    from kvtui.report import observed as report

    match form:
        case "json":
            from json import dumps

            from kvtui.output.harmless import clean

            text = dumps(clean(report.section(found)), ensure_ascii=False, separators=(",", ":")) + "\n"
        case "csv":
            text = report.render(report.document([found]), "csv")
            text = text if first else text.partition("\n")[2]
        case "markdown":
            raise InputError("--format: markdown goes with --once")
        case _:
            line = report.text_line(found)
            text = f"{found.snapshot.address}  {line}\n" if named else f"{line}\n"
            if answer.ascii_only:
                from kvtui.output.lines import to_ascii

                text = to_ascii(text)
    if answer.output is not None:
        raise InputError("-o: goes with --once; --record keeps what is seen")
    answer.write(text)
    sys.stdout.flush()


def _observed(history: Sequence[Snapshot], values: Values, *, plan: bool) -> Observed:
    """The last snapshot of ``history`` with what follows from all of it."""
    from kvtui.engine.live.advisor import findings
    from kvtui.engine.live.beside import plan_beside
    from kvtui.engine.live.binds import binds
    from kvtui.engine.live.interval import Interval, between
    from kvtui.report.observed import Observed

    last = history[-1]
    since = last.time - MINUTE if plan else last.time
    earlier = [one for one in history[:-1] if one.ranks and one.counters_at < last.counters_at]
    before = next((one for one in earlier if one.time >= since), earlier[-1] if earlier else None)
    interval = between(before, last) if before is not None else Interval(0.0)
    binding = binds(last, interval)
    if not plan or last.state not in ("up", "asleep"):
        return Observed(last, interval, binding)
    try:
        beside = plan_beside(last, values)
    except InputError as error:
        return Observed(last, interval, binding, findings(history, None), plan_error=str(error))
    return Observed(last, interval, binding, findings(history, beside), beside)


def _watched(args: argparse.Namespace, values: Values) -> Sequence[Watched]:
    """The servers that were named, or those that listen on this machine.

    Raises InputError for a name that is no address, and where nothing listens.
    """
    from kvtui.attach.attachment import WatchedServer
    from kvtui.attach.devices import DeviceCounters
    from kvtui.attach.events import FollowedEvents
    from kvtui.attach.find import listening
    from kvtui.attach.http import HttpServer, read_address
    from kvtui.attach.token import read_token
    from kvtui.engine.live.servers import ToldBesides

    token = read_token(args.token, args.token_file)
    unified = values["kv_unified"]
    told = ToldBesides(unified if isinstance(unified, bool) else None)
    addresses = [read_address(name) for name in args.server] or listening()
    if not addresses:
        raise InputError(f"watch: no server listens on the usual ports of this machine: {_ports()}")
    return [
        WatchedServer(HttpServer(address, token), told, beside=(FollowedEvents(address), DeviceCounters(address)))
        for address in dict.fromkeys(addresses)
    ]


def _ports() -> str:
    from kvtui.engine.live.servers import PORTS

    return ", ".join(map(str, sorted(PORTS)))


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
