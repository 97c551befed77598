"""``kvtui bench sharded``: tensor-parallel decode over this machine's devices, or over those of several processes.

Rows are kept in a dated folder as ``sharded.json``, all anew as each is measured. Of several processes the first keeps
and shows them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui.bench import store, table
from kvtui.bench.runner import BackendError, Control
from kvtui.bench.stages import TaskError, events
from kvtui.cases.sharding import SIZES, ShardedCase, sharded_cases
from kvtui.cases.table import is_number
from kvtui.commands.answer import Answer
from kvtui.commands.interrupts import cancelling, exit_code
from kvtui.commands.measuring import need_jax
from kvtui.commands.narration import say
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.units import format_bytes, parse_count
from kvtui.engine.basis.untrusted import plain
from kvtui.figures.sharded import KIND
from kvtui.output.harmless import clean
from kvtui.output.json import json_text
from kvtui.output.table import Column, render

if TYPE_CHECKING:
    import argparse

FAILED, NO_BACKEND = 1, 3
RESULTS, SCHEMA = "sharded.json", 1
MOST_DEVICES, MOST_PROCESSES, MOST_CALLS = 1024, 1024, 100_000
USUAL = (2, 4, 8)
PORTS = 65_536
OF_THE_SWEEP = ("groups", "positions", "repeat", "n_warmup", "resume", "trained", "inference_off", "sweep_only")


def _bytes(count: int) -> str:
    return format_bytes(count, 1)


COLUMNS = (
    Column("label", "attention"),
    Column("tp", "devices", "right"),
    Column("kv_predicted_bytes", "cache planned", "right", 2, _bytes),
    Column("kv_measured_bytes", "held", "right", 0, _bytes),
    Column("copies", "copies", "right", 3),
    Column("weights_predicted_bytes", "weights planned", "right", 5, _bytes),
    Column("weights_measured_bytes", "held", "right", 4, _bytes),
    Column("step_ms_p50", "step ms", "right", 0, table.ms),
    Column("alone_ms_p50", "without sums", "right", 2, table.ms),
    Column("sums", "sums", "right", 6),
    Column("sent_predicted_bytes", "sends, planned", "right", 7, _bytes),
    Column("sent_bytes", "sends", "right", 5, _bytes),
    Column("sums_ms_p50", "sums ms", "right", 1, table.ms),
    Column("sums_predicted_ms_low", "planned from", "right", 3, table.ms),
    Column("sums_predicted_ms_high", "to", "right", 3, table.ms),
    Column("tokens_equal", "same tokens", priority=4, format=lambda same: "yes" if same else "NO"),
    Column("status", "status", priority=8),
    Column("message", "why", priority=9),
)


def run(args: argparse.Namespace, answer: Answer) -> int:
    """Measure, keep and show; return the exit code.

    Raises InputError for wrong options and too few devices, OSError when results cannot be stored.
    """
    job = _job(args)
    need_jax()
    first = job["process"] == 0
    folder = store.new_folder(Path(args.out or store.OUT)) if first else None
    found: dict[str, Any] = {"schema": SCHEMA, "what": KIND, "started": store.now(), "host": None, "rows": []}
    control = Control()
    try:
        with cancelling(control) as received:
            if folder is not None:
                say(f"results in {plain(str(folder), limit=400)}")
            for event in events("sharded", job, control):
                _take(found, event)
                if folder is not None and found["rows"]:
                    write_whole(folder / RESULTS, json.dumps(found, allow_nan=False) + "\n")
    except BackendError as error:
        say(str(error))
        return NO_BACKEND
    except TaskError as error:
        say(f"bench: {_why(job, found, error)}")
        return FAILED
    finally:
        if folder is not None and not any(folder.iterdir()):
            folder.rmdir()
    if folder is not None and found["rows"]:
        from kvtui.figures.sharded import panels
        from kvtui.plots.keep import keep

        answer.write(_table(found["rows"], answer, args.format))
        keep(folder, "sharded", panels(found["rows"]))
    if received:
        say("interrupted; what was measured is kept")
        return exit_code(received)
    return FAILED if any(row["status"] != "ok" for row in found["rows"]) else 0


def _job(args: argparse.Namespace) -> dict[str, Any]:
    """What the options ask for. Raises InputError."""
    size = args.size or "default"
    together = (args.coordinator, args.processes, args.process)
    if any(one is not None for one in together) and None in together:
        raise InputError("--coordinator: goes with --processes and --process, the same address for all")
    for name in OF_THE_SWEEP:
        if getattr(args, name):
            raise InputError(f"--{name.replace('_', '-')}: does not go with kvtui bench sharded")
    if args.coordinator is not None:
        host, _, port = args.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < PORTS:
            raise InputError(f"--coordinator: '{plain(args.coordinator, 80)}' is no HOST:PORT")
    processes = 1 if args.processes is None else parse_count(args.processes, "--processes", MOST_PROCESSES)
    process = 0 if args.process in (None, "0") else parse_count(args.process, "--process", MOST_PROCESSES)
    if process >= processes:
        raise InputError(f"--process: {process} is not below {processes} processes")
    if args.device is not None and not args.device.isalpha():
        raise InputError("--device: a sharded run takes all devices of a platform: cpu, gpu or tpu")
    tps = sorted({parse_count(word, "--tp", MOST_DEVICES) for word in args.tp or ()})
    tps = tps or [tp for tp in USUAL if tp % processes == 0] or [processes]
    for tp in tps:
        if tp % processes:
            raise InputError(f"--tp: {tp} devices are not divided by {processes} processes")
    usual = SIZES[size][2]
    calls = usual if args.n_trials is None else parse_count(args.n_trials, "--n-trials", MOST_CALLS)
    cases: tuple[ShardedCase, ...] = sharded_cases(size, tps)
    return {
        "cases": [one.to_json() for one in cases],
        "chosen": args.tp is not None,
        "calls": calls,
        "device": args.device,
        "coordinator": args.coordinator,
        "processes": processes,
        "process": process,
    }


def _why(job: Mapping[str, Any], found: Mapping[str, Any], error: TaskError) -> str:
    """Why the task ended; JAX ends a process that waits for others in vain without words for people."""
    if job["processes"] == 1:
        return str(error)
    if found["host"] is None:
        return f"the {job['processes']} processes did not all meet at {plain(job['coordinator'], 80)} in time"
    return f"one of the {job['processes']} processes has ended: {error}"


def _take(found: dict[str, Any], event: dict[str, Any]) -> None:
    match event:
        case {"event": "hello", "host": dict() as host}:
            found["host"] = clean(host)
            hosts = host.get("hosts")
            if isinstance(hosts, list) and len(hosts) > 1:
                say(f"{len(hosts)} processes: {', '.join(map(str, hosts))}")
        case {"event": "row", "row": dict() as row}:
            row = clean(row)
            found["rows"].append({name: _checked(value) for name, value in row.items()})
            step = row.get("step_ms_p50")
            said = f"{table.ms(step)} ms per step" if is_number(step) else f"{row.get('status')}: {row.get('message')}"
            say(f"{row.get('label')} over {row.get('tp')}: {said}")


def _checked(value: Any) -> Any:
    """A value of a row that can be written: no number that is none."""
    return value if isinstance(value, str | bool) or value is None or is_number(value) else None


def _table(rows: list[dict[str, Any]], answer: Answer, form: str) -> str:
    if form == "jsonl":
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if form == "json":
        return json_text(rows)
    names = {column.key for column in COLUMNS}
    told = [{**dict.fromkeys(names), **row} for row in rows]
    shown = [column for column in COLUMNS if column.key not in ("status", "message") or _failed(told)]
    form = "markdown" if form == "md" else form
    return render(shown, told, form, answer.width, answer.color, answer.ascii_only)


def _failed(rows: list[dict[str, Any]]) -> bool:
    return any(row["status"] != "ok" for row in rows)
