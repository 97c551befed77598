"""``kvtui generate``: text from a model that ``kvtui train`` made, as it comes, and how full its cache is."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui.bench.runner import BackendError, Control
from kvtui.bench.stages import TaskError, events
from kvtui.bench.training import runs
from kvtui.cases.case import Sampler
from kvtui.commands import streams
from kvtui.commands.answer import Answer
from kvtui.commands.interrupts import cancelling, exit_code
from kvtui.commands.narration import say
from kvtui.commands.parser import add_output, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import parse_count
from kvtui.engine.basis.untrusted import plain

if TYPE_CHECKING:
    import argparse

FAILED, NO_BACKEND = 1, 3
FORMATS = ("text", "json")
MOST_TOKENS, MOST_SEED, MOST_TOP = 10_000, 2**31 - 1, 1_000_000
BUNDLED = "MHA_L2_D64_H4_C128_s0"
"""The model that is used where none is named."""
PROMPT = "The "


def add(parser: argparse.ArgumentParser) -> None:
    """Which model goes on with what, and how its tokens are chosen."""
    parser.description = "Go on with a text by a model that kvtui train made; without --checkpoint by a bundled one."
    parser.add_argument("--checkpoint", metavar="RUN", help="a training run's folder, or its weights.safetensors")
    parser.add_argument("--prompt", metavar="TEXT", default=PROMPT, help="what to go on with (default: The)")
    parser.add_argument("--max-new-tokens", metavar="N", default="100", help="tokens to generate (default: 100)")
    parser.add_argument("--greedy", action="store_true", help="always the likeliest token")
    parser.add_argument("--temperature", metavar="X", help="above 1 is more daring (default: 0.8)")
    parser.add_argument("--top-k", metavar="N", help="draw from the N likeliest tokens only")
    parser.add_argument("--top-p", metavar="X", help="draw from the fewest likeliest tokens with so much probability")
    parser.add_argument("--no-cache", action="store_true", help="run the whole text again for every token")
    parser.add_argument("--seed", metavar="N", default="0", help="another seed gives another text (default: 0)")
    parser.add_argument("--device", metavar="NAME", help="cpu, gpu, tpu, cuda:1 or a number")
    parser.add_argument("--format", metavar="FORMAT", default="text", help=", ".join(FORMATS))
    add_output(parser)


def run(args: argparse.Namespace) -> int:
    """Generate and return the exit code. Raises InputError for wrong options, and a checkpoint that is none."""
    answer = Answer(args, args.format)
    choose("format", args.format, FORMATS)
    job = _job(args)
    streamed = args.format == "text" and answer.output is None
    said: list[Mapping[str, Any]] = []
    prompt: Mapping[str, Any] = {}
    control = Control()
    try:
        with cancelling(control) as received:
            for event in events("generate", job, control, args.device):
                if event["event"] == "prompt":
                    prompt = event
                    _tell_prompt(event, args.no_cache)
                    if streamed:
                        _stream(args.prompt)
                    continue
                said.append(event)
                if streamed:
                    _stream(event["text"])
    except BackendError as error:
        say(str(error))
        return NO_BACKEND
    except TaskError as error:
        say(f"generate: {error}")
        return FAILED
    text = "".join(event["text"] for event in said)
    if streamed:
        _stream("\n")
    elif args.format == "text":
        answer.write(_harmless(args.prompt + text) + "\n")
    else:
        answer.write(json.dumps(_document(args.prompt, text, prompt, said), indent=2) + "\n")
    _tell_end(prompt, said, args.no_cache)
    return exit_code(received) if received else 0


def _job(args: argparse.Namespace) -> dict[str, Any]:
    if args.greedy and (args.temperature or args.top_k or args.top_p):
        raise InputError("--greedy: takes the likeliest token; leave --temperature, --top-k and --top-p out")
    sampler = Sampler(
        0.0 if args.greedy else _number("temperature", args.temperature or "0.8"),
        None if args.top_k is None else parse_count(args.top_k, "--top-k", MOST_TOP),
        None if args.top_p is None else _number("top-p", args.top_p),
    )
    checkpoint = Path(args.checkpoint) if args.checkpoint is not None else runs.BUNDLED / BUNDLED
    weights = checkpoint / runs.WEIGHTS if checkpoint.is_dir() else checkpoint
    if not weights.is_file():
        raise InputError(f"checkpoint: {plain(str(weights))}: no such file")
    return {
        "checkpoint": str(weights),
        "prompt": args.prompt,
        "tokens": parse_count(args.max_new_tokens, "--max-new-tokens", MOST_TOKENS),
        "sampler": asdict(sampler),
        "cache": not args.no_cache,
        "seed": 0 if args.seed.strip() == "0" else parse_count(args.seed, "--seed", MOST_SEED),
    }


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise InputError(f"--{name}: '{plain(text)}' is not a number from 0 to 100")
    return value


def _harmless(text: str) -> str:
    return "".join(c if c in "\n\t" else plain(c) for c in text)


def _stream(text: str) -> None:
    streams.put(_harmless(text), data=False)
    sys.stdout.flush()


def _tell_prompt(event: Mapping[str, Any], uncached: bool) -> None:
    tokens, room, size = event["tokens"], event["room"], event["cache_bytes"]
    if event["unknown"]:
        say(f"{event['unknown']} of {tokens} tokens of the prompt are unknown to the model")
    if room > event["trained_context"]:
        say(f"trained on sequences of {event['trained_context']} tokens; what lies beyond is worse")
    if uncached:
        say(f"no cache: {tokens} tokens of prompt are run again for every token")
    else:
        say(f"cache: {size:,} bytes for {room} tokens, {size // room:,} each; the prompt fills {tokens}")


def _tell_end(prompt: Mapping[str, Any], said: list[Mapping[str, Any]], uncached: bool) -> None:
    if not said:
        return
    last = said[-1]
    first, spent = said[0]["seconds"], last["seconds"] - said[0]["seconds"]
    rate = f"{(len(said) - 1) / spent:,.0f} tokens/s after" if spent > 0 else ""
    full = (
        "no cache"
        if uncached
        else (
            f"{last['cached_tokens']} of {prompt['room']} tokens cached, "
            f"{last['cached_bytes']:,} of {prompt['cache_bytes']:,} bytes"
        )
    )
    say(f"{len(said)} tokens; {full}; {rate} {first:.2f} s to the first, compiling included")


def _document(given: str, text: str, prompt: Mapping[str, Any], said: list[Mapping[str, Any]]) -> dict[str, Any]:
    names = ("id", "text", "cached_tokens", "cached_bytes", "seconds")
    return {
        "prompt": given,
        "text": text,
        "prompt_tokens": prompt.get("tokens"),
        "cache_bytes": prompt.get("cache_bytes"),
        "cache_tokens": prompt.get("room"),
        "tokens": [{name: event[name] for name in names} for event in said],
    }
