"""``kvtui replay``: a trace through a prefix cache of any size, or a recorded scenario through vLLM's own rules."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from kvtui.engine.replay.run import ReplayOutcome
    from kvtui.engine.replay.traces import Trace
    from kvtui.engine.scenario.scenario import Scenario
    from kvtui.report.replay import Objectives

MOST_RECORDED_BYTES = 256 * 2**20

_OBJECTIVES = {"ttft": "first_token", "tpot": "per_token"}
_MOMENT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s)")


def add(parser: argparse.ArgumentParser) -> None:
    """The trace, how it is read, the table's options, and the scenario's, whose pool is shown among the sizes."""
    parser.description = (
        "What a prefix cache saves of a trace (Mooncake, Bailian, AIPerf, Azure, BurstGPT), for every size of it. With "
        "a scenario, also how its vLLM server serves the trace: what waits, how long, and what the pool holds. What "
        "was recorded from vLLM's scheduler (a JSON object with config and requests) is run by the same rules."
    )
    parser.add_argument("trace", metavar="TRACE", help="a file, or - for standard input")
    parser.add_argument("--tokens-per-id", metavar="N", help="tokens of one prefix id, where the trace allows several")
    parser.add_argument("--requests", metavar="N", help="only the first N requests")
    parser.add_argument("--rate", metavar="X", help="requests come X times as fast (default 1)")
    parser.add_argument("--slo", metavar="LIST", help="objectives of goodput, such as ttft=500ms,tpot=50ms")
    parser.add_argument("--steps", action="store_true", help="every step of a recorded scenario, with --format json")
    add_table(parser)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the trace says.

    Raises InputError for a trace or options that are wrong, and OSError when the answer cannot be written.
    """
    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    recorded = _recorded(args.trace)
    if recorded is not None:
        answer.write(_run_recorded(recorded, args))
        return 0
    if args.steps:
        raise InputError("--steps: only a recorded scenario has steps, not a trace")
    from kvtui.engine.replay.reuse import reuse
    from kvtui.report import replay as report

    objectives = _objectives(args.slo)
    trace = _trace(args)
    scenario = _scenario(vars(args))
    name = "standard input" if args.trace == "-" else Path(args.trace).name
    found = report.document(
        trace,
        reuse(trace.requests),
        name,
        None if scenario is None else _pool(scenario),
        {} if scenario is None else _outcomes(trace, scenario),
        objectives,
    )
    answer.write(
        report.render(found, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only)
    )
    return 0


def _recorded(name: str) -> Mapping[str, Any] | None:
    """The JSON object in a file that ends with .json and is a recorded scenario."""
    if not name.casefold().endswith(".json"):
        return None
    from kvtui.engine.basis.files import read_text, unreadable
    from kvtui.engine.basis.json_object import parse_object

    try:
        return parse_object(read_text(name, MOST_RECORDED_BYTES), plain(name))
    except FileNotFoundError as error:
        raise unreadable(name, error) from None


def _run_recorded(document: Mapping[str, Any], args: argparse.Namespace) -> str:
    from kvtui.engine.replay.recorded import read_recorded, run_recorded
    from kvtui.output.json import json_text

    if args.format not in ("text", "json"):
        raise InputError(f"--format: a recorded scenario is told as text or json, not {args.format}")
    if args.steps and args.format != "json":
        raise InputError("--steps: goes with --format json")
    told = run_recorded(read_recorded(document, plain(args.trace)))
    if args.format == "json":
        return json_text({key: value for key, value in told.items() if args.steps or key != "steps"})
    summary = told["summary"]
    prefix = summary["prefix"]
    lines = [
        f"{len(told['requests']):,} requests in {summary['steps']:,} steps",
        f"{summary['scheduled_tokens']:,} tokens computed",
        f"{summary['peak_used_blocks']:,} of {told['config']['num_blocks'] - 1:,} blocks used at most",
        f"{prefix['hits']:,} of {prefix['queries']:,} prompt tokens came from the cache",
        f"{summary['preemptions_total']:,} times a request was put out and computed again",
    ]
    if told["stuck"]:
        lines.append("stuck: the request at the head of the line needs more blocks than there are")
    return "\n".join(lines) + "\n"


def _trace(args: argparse.Namespace) -> Trace:
    from io import TextIOWrapper

    from kvtui.engine.basis.files import open_to_read, unreadable
    from kvtui.engine.basis.units import parse_count
    from kvtui.engine.replay.traces import MOST_REQUESTS, MOST_TOKENS, read_trace

    span = None if args.tokens_per_id is None else parse_count(args.tokens_per_id, "--tokens-per-id", MOST_TOKENS)
    where = "standard input" if args.trace == "-" else plain(args.trace)
    try:
        stream = sys.stdin.buffer if args.trace == "-" else open_to_read(args.trace)
    except OSError as error:
        raise unreadable(args.trace, error) from None
    with stream, TextIOWrapper(stream, encoding="utf-8-sig", errors="replace") as lines:
        trace = read_trace(lines, where, span)
    requests = trace.requests
    if args.requests is not None:
        requests = requests[: parse_count(args.requests, "--requests", MOST_REQUESTS)]
    if args.rate is not None:
        times = _times(args.rate)
        requests = tuple(one._replace(arrival=one.arrival / times) for one in requests)
    return trace._replace(requests=requests)


def _times(word: str) -> float:
    """How many times as fast requests come."""
    try:
        times = float(word)
    except ValueError:
        times = 0.0
    if not 1e-6 <= times <= 1e6:
        raise InputError(f"--rate: '{plain(word, 40)}' is not a number above 0, such as 2 or 0.5")
    return times


def _scenario(values: Mapping[str, Any]) -> Scenario | None:
    """The scenario, under vLLM where no engine is named; None where nothing of it was said."""
    from kvtui.engine.scenario.options import OPTIONS
    from kvtui.engine.scenario.values import scenario_from

    given = {option.key: values[option.key] for option in OPTIONS}
    if all(value in (None, False) for value in given.values()):
        return None
    return scenario_from({**given, "engine": given["engine"] or "vllm"})


def _pool(scenario: Scenario) -> dict[str, Any]:
    from kvtui.engine.planning.serve import serve
    from kvtui.engine.scenario.values import command_line

    serving = serve(scenario)
    if serving is None:
        raise InputError("--engine: a replay needs the pool of an engine")
    layout = scenario.layout
    return {
        "tokens": serving.kv_cache_tokens * layout.dp,
        "bytes_per_token": serving.bytes_per_token * layout.devices // layout.dp,
        "of": f"{scenario.model.name} on {layout.devices} × {scenario.device.name} under {scenario.engine}",
        "scenario": f"kvtui --report {command_line(scenario)}",
    }


def _outcomes(trace: Trace, scenario: Scenario) -> dict[str, ReplayOutcome]:
    """What the scenario's server makes of the trace at both ends of its pace; nothing for engines not replayed."""
    from kvtui.engine.replay.pace import Pace
    from kvtui.engine.replay.run import dealt, run, together
    from kvtui.engine.replay.servers import REPLAYED, server_of

    if scenario.engine not in REPLAYED:
        return {}
    parts = dealt(trace.requests, scenario.layout.dp)
    return {
        end: together([run(part, server_of(scenario), Pace(scenario, fast=end == "fast").seconds) for part in parts])
        for end in ("fast", "slow")
    }


def _objectives(words: str | None) -> Objectives:
    """``ttft=500ms,tpot=50ms`` in any order."""
    from kvtui.report.replay import Objectives

    found: dict[str, float] = {}
    for word in words.split(",") if words else ():
        name, _, value = word.strip().partition("=")
        match = _MOMENT.fullmatch(value.strip())
        if name not in _OBJECTIVES or match is None:
            raise InputError(f"--slo: '{plain(word, 40)}' is not an objective such as ttft=500ms or tpot=0.05s")
        found[_OBJECTIVES[name]] = float(match[1]) / (1000 if match[2] == "ms" else 1)
    return Objectives(**found)
