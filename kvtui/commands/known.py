"""The commands by name, each in a module of its own that is loaded when a line names it, and the parser of the line.

A command's module has ``add(parser)``, which gives a parser its description and options, and ``run(args)``, which does
what was asked and returns the exit code.
"""

from __future__ import annotations

import sys
from functools import partial

from kvtui import __version__
from kvtui.commands import app, completion, report
from kvtui.commands.parser import CommandParser, Parser, add_output, add_scenario
from kvtui.engine.basis.errors import InputError, UnknownName

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from types import ModuleType

COMMANDS = {
    "fix": ("fix", "the cheapest changes that make a scenario fit"),
    "models": ("listings", "list the models of the catalogue"),
    "devices": ("listings", "list the devices of the catalogue"),
    "compare": ("compare", "scenarios side by side: kvtui compare A-OPTIONS -- B-OPTIONS ..."),
    "grid": ("grid", "what fits where: the models of the catalogue on its devices, or formats on them"),
    "estimate": ("estimate", "what a made-up shape caches, by attention variant"),
    "bench": ("bench", "measure attention variants on this machine"),
    "train": ("train", "train small models of several attentions"),
    "generate": ("generate", "text from a trained model, and how its cache fills"),
    "plot": ("plot", "draw a run, a table of numbers, or a figure of a scenario"),
    "reconcile": ("reconcile", "a server's boot log beside its plan"),
    "replay": ("replay", "what a prefix cache saves of a trace; a recorded scenario step by step"),
    "watch": ("watch", "a running server's cache, beside its plan; records, and plays recordings"),
    "serve": ("serve", "the app in a browser: each visitor has one of their own"),
    "doctor": ("doctor", "versions, terminal, accelerators, places"),
}
"""The module of each command in this package, and its line in the help."""

SIDES = "compare"
"""The command that takes several scenarios, separated by ``--``."""

EXAMPLES = """\
examples:
  kvtui --report --model Qwen3-Next-80B-A3B --gpu "H200 SXM" --context 128K --batch 4
  kvtui --report json --model ./config.json --gpu "RTX 4090" --dtype int4
  kvtui --report --model model.gguf --gpu "RTX 3090" --kv-dtype q8_0 --check
  kvtui fix --model Llama-3.3-70B --engine vllm --context 32K --users 35
  kvtui compare --kv-dtype bf16 -- --kv-dtype fp8
  kvtui models gemma
  kvtui estimate gqa --emb-dim 4096 --n-heads 32 --n-layers 32 --kv-heads 8 --context-length 32K
  kvtui bench --groups attention_type context_len
  kvtui train --set tiny
  kvtui plot results --figure 05 -o latency.svg

exit codes: 0 done, 1 failed, 2 wrong input, 3 backend not available,
            4 does not fit (with --check), 130 interrupted, 143 terminated
"""


def do(words: Sequence[str]) -> int:
    """Do what the line of ``words`` asks and return the exit code.

    Raises InputError for words that are wrong, and what the command's ``run`` does.
    """
    line = CommandLine()
    args = line.read(words)
    if args.command is not None:
        return int(_module(args.command).run(args))
    if args.completion is not None:
        return completion.run(args, line.whole())
    return report.run(args) if args.report is not None or args.check else app.run(args)


def _on_this_machine(args: argparse.Namespace) -> None:
    """Put this machine's devices into ``args`` that name the device ``local``."""
    if "local" in str(getattr(args, "gpu", None)).casefold():
        from kvtui.bench.this_machine import here

        for key, value in here(vars(args)).items():
            setattr(args, key, value)


class CommandLine:
    """The whole command line: the options of a line without a command, and the parser of each command."""

    def __init__(self) -> None:
        self.parser = Parser(
            prog="kvtui",
            description="See, plan and measure the KV cache of large language models.",
            epilog=EXAMPLES,
        )
        self.parser.add_argument("-V", "--version", action="version", version=f"kvtui {__version__}")
        report.add(self.parser)
        completion.add(self.parser)
        add_output(self.parser)
        add_scenario(self.parser)
        app.add(self.parser)
        commands = self.parser.add_subparsers(
            dest="command", metavar="COMMAND", title="commands", prog="kvtui", parser_class=CommandParser
        )
        self.commands: Mapping[str, CommandParser] = {
            name: commands.add_parser(name, help=what, fill=partial(_fill, name))
            for name, (_, what) in COMMANDS.items()
        }

    def whole(self) -> Parser:
        """The parser with the options of every command, as shell completion needs it."""
        for command in self.commands.values():
            command.filled()
        return self.parser

    def read(self, words: Sequence[str]) -> argparse.Namespace:
        """The values of ``words``; those of further scenarios of ``compare`` are in ``others``.

        The device ``local`` is this machine's.
        Raises InputError for a word that nothing takes, before argparse complains about the one behind it.
        """
        first, *rest = _sides(words) if words[:1] == [SIDES] else (words,)
        for side in (first, *rest):
            self._check(words[0] if words else "", side)
        args = self._parsed(first)
        if args.command == SIDES and words[0] != SIDES:
            raise InputError(f"{SIDES}: comes first, and its options after it")
        args.others = [self._parsed([SIDES, *side]) for side in rest]
        for one in (args, *args.others):
            _on_this_machine(one)
        return args

    def _parsed(self, words: Sequence[str]) -> argparse.Namespace:
        args, unknown = self.parser.parse_known_args(words)
        for word in unknown:
            option, own = word.partition("=")[0], self.commands.get(args.command, self.parser)
            raise self._no_option(option, own) if word.startswith("-") else UnknownName("argument", word, own.options())
        return args

    def _check(self, first: str, words: Sequence[str]) -> None:
        """Raises InputError for a command that is not there, and for the first long option that nothing takes."""
        if first and not first.startswith("-") and first not in self.commands:
            raise UnknownName("command", first, self.commands, listed=True)
        own = self.commands.get(first, self.parser)
        known = set(own.filled().options() if isinstance(own, CommandParser) else own.options())
        if own is self.parser:
            known.update(*(self.commands[word].filled().options() for word in words if word in self.commands))
        for word in words:
            option = word.partition("=")[0]
            if option == "--":
                return
            if option.startswith("--") and option not in known:
                raise self._no_option(option, own)

    def _no_option(self, option: str, own: Parser) -> InputError:
        """What to say of an ``option`` that ``own`` does not have: whose it is, or which ones are like it."""
        self.whole()
        owners = [parser.prog for parser in (self.parser, *self.commands.values()) if option in parser.options()]
        if owners:
            return InputError(f"{option}: does not belong to {own.prog}, but to {', '.join(owners)}")
        return UnknownName("option", option, own.options())


def _sides(words: Sequence[str]) -> list[list[str]]:
    """``words`` cut at each ``--``."""
    sides: list[list[str]] = [[]]
    for word in words:
        if word == "--":
            sides.append([])
        else:
            sides[-1].append(word)
    return sides


def _fill(name: str, parser: Parser) -> None:
    _module(name).add(parser)


def _module(name: str) -> ModuleType:
    path = f"{__package__}.{COMMANDS[name][0]}"
    __import__(path)
    return sys.modules[path]
