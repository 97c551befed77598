"""The words of the command line: options, commands, help, and errors of one line."""

from __future__ import annotations

import argparse
import os
import sys

from kvtui import __version__
from kvtui.engine.basis.errors import UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any, NoReturn

USAGE = 2
REPORT_FORMATS = ("text", "json", "csv", "markdown", "html")
TABLE_FORMATS = ("text", "json", "csv", "markdown")
COLORS = ("auto", "always", "never")
SHELLS = ("bash", "zsh", "tcsh")
COMMANDS = ("models", "devices", "compare", "estimate", "bench", "plot", "reconcile", "doctor")
SLOWEST, FASTEST = 0.5, 100.0
MOST_HELP_COLUMNS = 100

EXAMPLES = """\
examples:
  kvtui --report --model Qwen3-Next-80B-A3B --gpu "H200 SXM" --context 128K --batch 4
  kvtui --report json --model ./config.json --gpu "RTX 4090" --dtype int4
  kvtui --report --model model.gguf --gpu "RTX 3090" --kv-dtype q8_0 --check
  kvtui compare --kv-dtype bf16 -- --kv-dtype fp8
  kvtui models gemma
  kvtui estimate gqa --emb-dim 4096 --n-heads 32 --n-layers 32 --kv-heads 8 --context-length 32K
  kvtui bench --groups attention_type context_len
  kvtui plot results --figure 05 -o latency.svg

exit codes: 0 done, 1 failed, 2 wrong input, 3 backend not available,
            4 does not fit (with --check), 130 interrupted, 143 terminated
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, with the nearest option when one was misspelt."""

    commands: tuple[argparse.ArgumentParser, ...] = ()

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _formatter, **options})

    def error(self, message: str) -> NoReturn:
        """Exit with 2 and ``message`` on one line of stderr."""
        from kvtui.engine.basis.untrusted import plain

        if message.startswith("unrecognized arguments: "):
            word = message.removeprefix("unrecognized arguments: ").split()[0].partition("=")[0]
            known = [option for action in self._actions for option in action.option_strings]
            message = str(UnknownName("option" if word.startswith("-") else "argument", word, known))
        elif "invalid choice: " in message:
            message = message.partition(" (choose from")[0]
        fail(plain(message, limit=400))


def fail(message: str, code: int = USAGE) -> NoReturn:
    """Print one line to stderr and exit."""
    print(f"kvtui: {message}", file=sys.stderr)
    raise SystemExit(code)


def check_options(parser: Parser, words: Sequence[str]) -> None:
    """Raises UnknownName for the first long option among ``words`` that no command has.

    argparse would complain about the word behind it.
    """
    known = {
        option for one in (parser, *parser.commands) for action in one._actions for option in action.option_strings
    }
    for word in words:
        option = word.partition("=")[0]
        if option.startswith("--") and len(option) > 2 and option not in known:
            raise UnknownName("option", option, known)


def _formatter(prog: str) -> argparse.HelpFormatter:
    """Help as wide as the terminal; asked here because argparse loads half of shutil to ask."""
    try:
        columns = os.get_terminal_size(sys.stdout.fileno()).columns
    except (OSError, ValueError):
        columns = 80
    return argparse.RawDescriptionHelpFormatter(prog, width=min(columns, MOST_HELP_COLUMNS) - 2)


def build_parser(whole: Collection[str] = COMMANDS) -> Parser:
    """The command line, also read by shell completion; of its COMMANDS only those in ``whole`` have their options."""
    parser = Parser(
        prog="kvtui",
        description="See, plan and measure the KV cache of large language models.",
        epilog=EXAMPLES,
        allow_abbrev=False,
    )
    parser.add_argument("-V", "--version", action="version", version=f"kvtui {__version__}")
    parser.add_argument(
        "--report",
        nargs="?",
        const="text",
        metavar="FORMAT",
        help=f"print the plan and exit: {', '.join(REPORT_FORMATS)}",
    )
    parser.add_argument("--check", action="store_true", help="with --report: exit with 4 when it does not fit")
    parser.add_argument("--completion", metavar="SHELL", help=f"print a completion script: {', '.join(SHELLS)}")
    _add_output(parser)
    _add_scenario(parser)
    _add_app(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, what in (("models", "models"), ("devices", "devices")):
        command = commands.add_parser(name, help=f"list the {what} of the catalogue", allow_abbrev=False)
        if name in whole:
            command.add_argument("search", nargs="?", help="part of a name")
            _add_table(command)
    command = commands.add_parser(
        "compare",
        help="scenarios side by side: kvtui compare A-OPTIONS -- B-OPTIONS ...",
        description="Compare scenarios, separated by --. The first is the one the others are measured against.",
        allow_abbrev=False,
    )
    if "compare" in whole:
        _add_table(command)
        _add_scenario(command)
    command = commands.add_parser(
        "estimate",
        help="what a made-up shape caches, by attention variant",
        description="Cache bytes of a shape as MHA, GQA, MLA, with sliding windows or DeltaNet states, "
        "and the weights of experts.",
        allow_abbrev=False,
    )
    if "estimate" in whole:
        _add_estimate(command)
    command = commands.add_parser(
        "bench",
        help="measure attention variants on this machine",
        description="Measure attention variants on this machine, and store and print what was measured.",
        allow_abbrev=False,
    )
    if "bench" in whole:
        _add_bench(command)
    command = commands.add_parser(
        "plot",
        help="draw a run, a table of numbers, or a figure of a scenario",
        description="Draw what a file holds: a benchmark's results, a figure exported as JSON or CSV, or any CSV with "
        "columns of numbers, the first of them x. Without a file, draw a scenario's figures (--list names them).",
        allow_abbrev=False,
    )
    if "plot" in whole:
        _add_plot(command)
    command = commands.add_parser(
        "reconcile",
        help="a server's boot log beside its plan",
        description="Compare what vLLM, llama.cpp or SGLang logged at its start with the plan of the same start. "
        "Options override what the log says of itself.",
        allow_abbrev=False,
    )
    if "reconcile" in whole:
        command.add_argument("log", metavar="LOG", help="a file, or - for standard input")
        command.add_argument("--save-profile", metavar="NAME", help="keep the measured overheads for --profile NAME")
        _add_table(command)
        _add_scenario(command)
    command = commands.add_parser("doctor", help="versions, terminal, accelerators, places", allow_abbrev=False)
    if "doctor" in whole:
        _add_table(command)
    parser.commands = tuple(commands.choices.values())
    return parser


def _add_output(parser: argparse.ArgumentParser, output: str = "write to FILE instead of stdout") -> None:
    parser.add_argument("-o", "--output", metavar="FILE", help=output)
    parser.add_argument("--color", metavar="WHEN", default="auto", help=f"{', '.join(COLORS)}")
    parser.add_argument("--ascii", action="store_true", help="no characters beyond ASCII in text")


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", metavar="FORMAT", default="text", help=", ".join(TABLE_FORMATS))
    _add_output(parser)


def _add_estimate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", metavar="KIND", help="mha, gqa, mla, swa, deltanet or moe")
    for name, metavar, what in (
        ("emb-dim", "N", "width"),
        ("n-heads", "N", "attention heads"),
        ("n-layers", "N", "layers"),
        ("kv-heads", "N", "KV heads"),
        ("queries-per-kv-head", "N", "query heads that share a KV head, instead of --kv-heads"),
        ("context-length", "TOKENS", "tokens of a sequence (default 1024)"),
        ("batch-size", "N", "sequences (default 1)"),
        ("dtype", "F", "fp32, bf16 (default), fp16, fp8 or int8"),
        ("latent-dim", "N", "mla: elements of the latent"),
        ("sliding-window-size", "TOKENS", "swa: tokens of a window"),
        ("hidden-dim", "N", "moe: width of the dense layer"),
        ("ffn-type", "KIND", "moe: swiglu (default) or gelu"),
        ("num-experts", "N", "moe: experts (default 8)"),
        ("top-k", "N", "moe: experts that run for a token (default 2)"),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, help=what)
    parser.add_argument(
        "--swa-ratio",
        "--ratio",
        dest="ratio",
        metavar="A:B",
        help="swa: windowed to full layers (default 1:0); deltanet: DeltaNet to full ones (default 3:1)",
    )
    parser.add_argument("--match-dense", action="store_true", help="moe: experts that weigh what the dense layer does")
    parser.add_argument("--n-kv-groups", help=argparse.SUPPRESS)
    parser.add_argument("--plot", action="store_true", help="draw it over context too, or into -o FILE")
    _add_table(parser)


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", nargs="?", default="sweep", help="sweep (default), or decode: variants side by side, by position"
    )
    parser.add_argument("--groups", nargs="+", metavar="G", help="only these groups of the sweep")
    parser.add_argument("--list-groups", action="store_true", help="print the groups with their axes and rows")
    parser.add_argument("--size", metavar="SIZE", help="fast, default or full")
    parser.add_argument("--n-warmup", metavar="N", help="calls before the first sample, at least")
    parser.add_argument("--n-trials", metavar="N", help="samples of each series, at least")
    parser.add_argument("--repeat", metavar="N", help="measure every case N times, in N shuffled passes")
    parser.add_argument("--positions", metavar="N,N,...", help="bench decode: tokens in the cache to time a step at")
    parser.add_argument("--device", metavar="NAME", help="cpu, gpu, tpu, cuda:1 or a number")
    parser.add_argument("--out", metavar="DIR", help="where runs are kept (default: results)")
    stages = parser.add_mutually_exclusive_group()
    stages.add_argument("--sweep-only", action="store_true", help="measure, and keep no figures")
    stages.add_argument("--plot-only", action="store_true", help="measure nothing: draw the newest run of --out")
    parser.add_argument("--resume", nargs="?", const="", metavar="RUN", help="finish RUN, or the newest unfinished one")
    parser.add_argument(
        "--compare", nargs=2, metavar="RUN", help="what became faster or slower from one run to another"
    )
    parser.add_argument("--format", metavar="FORMAT", default="text", help="text, md, csv, json, jsonl")
    _add_output(parser)


def _add_plot(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="DIR|FILE", nargs="?", help="a results folder, or a CSV or JSON file")
    parser.add_argument("--figure", nargs="+", metavar="ID", help="these figures; without DIR|FILE those of a scenario")
    parser.add_argument("--set", nargs="+", metavar="NAME=VALUE", help="parameters of a scenario's figure")
    parser.add_argument("--beside", nargs="+", metavar="MODEL", help="up to three more models in a scenario's figure")
    parser.add_argument("--list", action="store_true", help="print the figures with what they ask")
    parser.add_argument("--width", metavar="N", help="cells across (default: the terminal's)")
    parser.add_argument("--height", metavar="N", help="rows (default: as many as the figure needs)")
    _add_scenario(parser)
    _add_output(parser, "write to FILE: .txt, .csv, .json, .png, .svg or .pdf")


def _add_scenario(parser: argparse.ArgumentParser) -> None:
    from kvtui.engine.scenario.options import OPTIONS

    group = parser.add_argument_group("scenario")
    for option in OPTIONS:
        flag = f"--{option.name}"
        if option.one_way:
            group.add_argument(flag, dest=option.key, action="store_true", default=None, help=option.help)
        elif option.switch:
            group.add_argument(flag, dest=option.key, action=argparse.BooleanOptionalAction, help=option.help)
        else:
            group.add_argument(flag, dest=option.key, metavar=option.metavar, help=option.help)


def _add_app(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("app")
    group.add_argument("--play", action="store_true", help="begin to play at once")
    group.add_argument("--speed", metavar="X", help=f"speed of the film, {SLOWEST:g} to {FASTEST:g}")
    group.add_argument("--theme", metavar="NAME", help="kvtui-dark, kvtui-light or another theme of Textual")
    group.add_argument("--motion", metavar="HOW", help="full, reduced or none")
    group.add_argument("--fps", metavar="N", help="frames per second while playing, 0 for steps by key only")
