"""``kvtui replay``: a trace through a prefix cache of any size, or a recorded scenario through vLLM's own rules."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_scenario, add_table, choose
from kvtui.commands.replay_trace import json_object, trace_asked
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from kvtui.engine.replay.costs import StepCosts
    from kvtui.engine.replay.traces import Trace
    from kvtui.engine.scenario.scenario import Scenario
    from kvtui.report.replay.document import Objectives

FORMATS = (*TABLE_FORMATS, "html")
TURN = 256
INTERRUPTED = 130

_OBJECTIVES = {"ttft": "first_token", "tpot": "per_token"}
_MOMENT = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(ms|s)")


def add(parser: argparse.ArgumentParser) -> None:
    """The trace, how it is read, what is asked, the table's options, and the scenario's, whose server is replayed."""
    parser.description = (
        "What a prefix cache saves of a trace (Mooncake, Bailian, AIPerf, Azure, BurstGPT, vllm bench, kvtui's own, a "
        "gateway's log such as LiteLLM's, vLLM's log of requests at DEBUG, a recording of kvtui watch, or "
        "made up: synthetic:requests=500,rate=2,arrivals=gamma:2,prompt=lognormal:800:0.7,answer=200,shared=4x512,"
        "turns=3,think=20,seed=7), for every size of it. With "
        "a scenario, also how its server (vLLM, SGLang, llama.cpp) serves the trace: what waits, how long, and what "
        "the pool holds. What was recorded from vLLM's scheduler (a JSON object with config and requests) is run by "
        "the same rules."
    )
    parser.add_argument("trace", metavar="TRACE", help="a file, - for standard input, or synthetic:rate=2,… (made up)")
    parser.add_argument("--tokens-per-id", metavar="N", help="tokens of one prefix id, where the trace allows several")
    parser.add_argument("--time-unit", metavar="UNIT", help="s or ms, where the trace has not its form's usual one")
    parser.add_argument("--requests", metavar="N", help="only the first N requests, or those of a part such as 100-200")
    parser.add_argument("--rate", metavar="X", help="requests come X times as fast (default 1)")
    parser.add_argument("--longer", metavar="X", help="prompts and answers are X times as long (default 1)")
    parser.add_argument("--save-trace", metavar="FILE", help="write the trace as it is replayed, in kvtui's own form")
    parser.add_argument(
        "--pace",
        metavar="FILE",
        help="steps as long as measured: a recording of kvtui watch, a run of kvtui bench",
    )
    parser.add_argument("--slo", metavar="LIST", help="objectives of goodput, such as ttft=500ms,tpot=50ms")
    parser.add_argument("--find", metavar="WHAT", help="largest rate or max-seqs, fewest devices or smallest pool")
    parser.add_argument("--goodput", metavar="SHARE", help="requests that must meet them for --find (default 95%%)")
    parser.add_argument(
        "--compare",
        metavar="LIST",
        nargs="?",
        const="",
        help="side by side: static, continuous, paged, prefix (vLLM), sglang, llama.cpp (default all)",
    )
    parser.add_argument(
        "--play", action="store_true", help="open the app on the replay; --compare prefix,paged shows two side by side"
    )
    parser.add_argument("--keep", metavar="FILE", help="keep results of --find and --compare there, and go on from it")
    parser.add_argument("--dask", metavar="ADDRESS", help="work them out on a Dask cluster, such as tcp://host:8786")
    parser.add_argument("--steps", action="store_true", help="every step of a recorded scenario, with --format json")
    add_table(parser, FORMATS)
    add_scenario(parser)


def run(args: argparse.Namespace) -> int:
    """Print what the trace says.

    Raises InputError for a trace or options that are wrong, and OSError when the answer cannot be written.
    """
    answer = Answer(args, args.format)
    choose("format", args.format, FORMATS)
    document = json_object(args.trace)
    if document is not None and "config" in document:
        if args.play:
            raise InputError("--play: shows a trace on a scenario's server, not a recorded scenario")
        answer.write(_run_recorded(document, args))
        return 0
    if args.steps:
        raise InputError("--steps: only a recorded scenario has steps, not a trace")
    from kvtui.commands.replay_pace import pace_of
    from kvtui.commands.replay_sweep import TraceSweep, compared
    from kvtui.commands.replay_sweep import search as find
    from kvtui.engine.scenario.values import scenario_from
    from kvtui.report.replay.document import document as report
    from kvtui.report.replay.document import reuse_of
    from kvtui.report.replay.formats import render

    objectives, wanted = read_objectives(args.slo), _share(args.goodput)
    trace = trace_asked(args, document)
    if args.save_trace is not None:
        from kvtui.engine.basis.files import write_whole
        from kvtui.engine.replay.traces import trace_lines

        write_whole(args.save_trace, "".join(trace_lines(trace)))
    values = _said(vars(args))
    if values is None and (args.find is not None or args.compare is not None):
        raise InputError("--find and --compare: need a scenario, such as --model Llama-3.1-8B --gpu L40S")
    if args.dask is not None and args.find is None and args.compare is None:
        raise InputError("--dask: goes with --find or --compare")
    name = "standard input" if args.trace == "-" else Path(args.trace).name
    scenario = None if values is None else scenario_from(values)
    if args.pace is not None and scenario is None:
        raise InputError("--pace: needs a scenario, such as --model Llama-3.1-8B --gpu L40S")
    if args.play:
        from kvtui.commands.replay_film import play

        return play(trace, name, values, args)
    served: dict[str, Any] = {}
    rows: list[dict[str, Any]] = []
    search, stopped, costs = None, False, None
    if scenario is not None and values is not None:
        costs = pace_of(args.pace, scenario)
        sweep = TraceSweep(trace, name, values, objectives, costs, args.keep, args.dask)
        if args.find is not None:
            search, stopped = find(sweep, scenario, args.find, wanted)
        elif args.compare is not None:
            rows, stopped = compared(sweep, args.compare)
        else:
            served, stopped = _served(trace, scenario, objectives, costs)
    pool, reused = _pool(scenario) if scenario else None, None
    try:
        reused = None if stopped else reuse_of(trace.requests, pool)
    except KeyboardInterrupt:
        stopped = True
    found = report(trace, name, pool, served, reused, rows, search, not stopped, objectives, costs)
    answer.write(render(found, args.format, width=answer.width, color=answer.color, ascii_only=answer.ascii_only))
    return INTERRUPTED if stopped else 0


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


def _said(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The words of the scenario, under vLLM where no engine is named; None where nothing of it was said."""
    from kvtui.engine.scenario.options import OPTIONS

    given = {option.key: values[option.key] for option in OPTIONS}
    if all(value in (None, False) for value in given.values()):
        return None
    return {**given, "engine": given["engine"] or "vllm"}


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
        "devices": layout.devices,
        "of": f"{scenario.model.name} on {layout.devices} × {scenario.device.name} under {scenario.engine}",
        "scenario": f"kvtui --report {command_line(scenario)}",
    }


def _served(
    trace: Trace, scenario: Scenario, objectives: Objectives, costs: StepCosts | None
) -> tuple[dict[str, Any], bool]:
    """What the scenario's server makes of the trace at both ends of its pace; and whether that was stopped.

    All replays go on in turn, so that whoever stops them has as much of each. Nothing for engines not replayed.
    """
    from kvtui.engine.replay.pace import Pace
    from kvtui.engine.replay.run import Replay, dealt, together
    from kvtui.engine.replay.servers import REPLAYED, servers_of
    from kvtui.report.replay.document import served

    if scenario.engine not in REPLAYED:
        return {}, False
    parts, server = dealt(trace.requests, scenario.layout.dp), servers_of(scenario)
    replays = {
        end: [Replay(part, server(), Pace(scenario, fast=end == "fast", costs=costs).seconds) for part in parts]
        for end in ("fast", "slow")
    }
    going, stopped = [replay for ends in replays.values() for replay in ends], False
    try:
        while going:
            going = [replay for replay in going if replay.go_on(TURN)]
    except KeyboardInterrupt:
        stopped = True
    return {
        end: served(together([replay.outcome() for replay in each]), objectives) for end, each in replays.items()
    }, stopped


def _share(word: str | None) -> float:
    """``95%`` or ``0.95``."""
    if word is None:
        return 0.95
    try:
        share = float(word.removesuffix("%")) / (100 if word.endswith("%") else 1)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise InputError(f"--goodput: '{plain(word, 40)}' is not a share such as 95%")
    return share


def read_objectives(words: str | None) -> Objectives:
    """``ttft=500ms,tpot=50ms`` in any order. Raises InputError for what is none."""
    from kvtui.report.replay.document import Objectives

    found: dict[str, float] = {}
    for word in words.split(",") if words else ():
        name, _, value = word.strip().partition("=")
        match = _MOMENT.fullmatch(value.strip())
        if name not in _OBJECTIVES or match is None:
            raise InputError(f"--slo: '{plain(word, 40)}' is not an objective such as ttft=500ms or tpot=0.05s")
        found[_OBJECTIVES[name]] = float(match[1]) / (1000 if match[2] == "ms" else 1)
    return Objectives(**found)
