"""How servers are started: a table per engine of its own flags, which reads a command line and writes one.

``flags`` in an engine's folder has its ``Launch``. Example: of ``vllm serve Qwen/Qwen3-32B -tp 2 --port 8000`` the
options are a model and ``tp`` 2; ``--port`` is the server's own business and stays where it is. With ``tp`` 4 the
command is ``vllm serve Qwen/Qwen3-32B --port 8000 --tensor-parallel-size 4``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

from kvtui.engine.basis.errors import InputError

NOTHING: Mapping[str, str] = MappingProxyType({})
LONGEST_COMMAND = 20_000
_VARIABLE = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)


class LaunchFlag(NamedTuple):
    """A flag of an engine: its ``names``, the first of which is written, and the ``key`` of the option that it sets.

    A "value" takes one, in the engine's ``words`` where they differ from kvtui's; "on" and "off" take none and switch
    the option. ``read`` makes the option's text of what is not one of the words, and nothing of what leaves the choice
    to the engine. Where there are ``only`` some values that the flag can be written with, others need none: the engine
    finds them out by itself.
    """

    names: tuple[str, ...]
    key: str
    kind: Literal["value", "on", "off"] = "value"
    words: Mapping[str, str] = NOTHING
    read: Callable[[str], str] = str
    only: tuple[str, ...] = ()

    def option(self, text: str) -> str | bool | None:
        """What the flag gives its option, None where that is the engine's own choice."""
        if self.kind != "value":
            return self.words.get("", self.kind == "on")
        return self.words.get(text, self.read(text)) or None

    def written(self, value: str | bool) -> list[str] | None:
        """The words of a command that give the option ``value``; none of them where the flag cannot."""
        if self.kind != "value":
            return [self.names[0]] if value == self.option("") else None
        if self.only and value not in self.only:
            return None
        own = {ours: theirs for theirs, ours in reversed(tuple(self.words.items()))}
        return [self.names[0], own.get(str(value), str(value))]


class Launch(NamedTuple):
    """How an engine is started: the ``programs`` that do, as words, and its ``flags``.

    ``switches`` are flags that take no value and set nothing here. ``model_first``: the model may stand without a flag.
    """

    engine: str
    programs: tuple[tuple[str, ...], ...]
    flags: tuple[LaunchFlag, ...]
    switches: frozenset[str] = frozenset()
    model_first: bool = False

    def flag(self, name: str) -> LaunchFlag | None:
        """The flag called ``name``, with dashes or underscores."""
        return next((flag for flag in self.flags if _spelt(name) in map(_spelt, flag.names)), None)

    def written(self, key: str, value: str | bool) -> list[str] | None:
        """The words of a command that give the option ``key`` its ``value``; None where the engine has no flag for it.

        Example: a context of 8192 tokens is ``--max-model-len 8192`` for vLLM.
        """
        found = (flag.written(value) for flag in self.flags if flag.key == key)
        return next((words for words in found if words is not None), None)


class LaunchPiece(NamedTuple):
    """Words of a command that belong together, and the flag that they are; None for the program and all else."""

    words: tuple[str, ...]
    flag: LaunchFlag | None = None


class LaunchCommand(NamedTuple):
    """A command line that starts the engine of ``launch``, piece by piece; ``values`` are options of a scenario by key.

    ``unread`` are flags that change nothing here.
    """

    launch: Launch
    pieces: tuple[LaunchPiece, ...]
    values: Mapping[str, str | bool]
    unread: tuple[str, ...]

    def changed(self, changes: Mapping[str, str | bool | None]) -> tuple[str, tuple[str, ...]]:
        """The command with the options ``changes`` (None takes one away), and the keys that it has no flag for."""
        kept = [piece for piece in self.pieces if piece.flag is None or piece.flag.key not in changes]
        words, unsaid = [word for piece in kept for word in piece.words], []
        for key, value in changes.items():
            if value is None:
                continue
            said = self.launch.written(key, value)
            if said is None:
                unsaid.append(key)
            else:
                words += said
        return shlex.join(words), tuple(unsaid)


def _spelt(name: str) -> str:
    return "--" + name[2:].replace("_", "-") if name.startswith("--") else name


def read_command(text: str, launches: Sequence[Launch]) -> LaunchCommand | None:
    """The command in ``text`` that starts an engine of ``launches``; None if there is none.

    Line ends behind a backslash, variables and a prompt before it are read over. Raises InputError for quotes that do
    not end.
    """
    if len(text) > LONGEST_COMMAND:
        return None
    joined = re.sub(r"\\\s*\n\s*", " ", text.strip()).strip()
    lines = [line.strip().removeprefix("$ ").removeprefix("> ") for line in joined.splitlines()]
    for line in lines:
        launch = next((launch for launch in launches if _begins(line, launch)), None)
        if launch is not None:
            try:
                return _read(shlex.split(line), launch)
            except ValueError:
                raise InputError("command: a quote in it does not end") from None
    return None


def _begins(line: str, launch: Launch) -> bool:
    return _start_of(line.split(), launch) is not None


def _start_of(words: Sequence[str], launch: Launch) -> int | None:
    """Where the flags begin, behind the program and what may stand before it."""
    at = 0
    while at < len(words) and (_VARIABLE.fullmatch(words[at]) or words[at] in ("sudo", "env", "nohup", "exec")):
        at += 1
    for program in launch.programs:
        said = [word.rpartition("/")[2].removesuffix(".exe") for word in words[at : at + len(program)]]
        if tuple(said) == program:
            return at + len(program)
    return None


def _read(words: Sequence[str], launch: Launch) -> LaunchCommand:
    start = _start_of(words, launch) or 0
    pieces, values, unread = [LaunchPiece(tuple(words[:start]))], {}, []
    for piece in _pieces(words[start:], launch):
        pieces.append(piece)
        first = piece.words[0]
        if piece.flag is not None:
            text = first.partition("=")[2] if len(piece.words) == 1 else piece.words[1]
            value = piece.flag.option(text)
            if value is not None:
                values[piece.flag.key] = value
        elif first.startswith("-"):
            unread.append(first.partition("=")[0])
        elif launch.model_first and "model" not in values:
            values["model"] = first
    return LaunchCommand(launch, tuple(pieces), values, tuple(dict.fromkeys(unread)))


def _pieces(words: Sequence[str], launch: Launch) -> Iterator[LaunchPiece]:
    at = 0
    while at < len(words):
        name, equals, _ = words[at].partition("=")
        flag = launch.flag(name) if name.startswith("-") else None
        following = words[at + 1] if at + 1 < len(words) else "-"
        switch = flag.kind != "value" if flag is not None else name in launch.switches
        takes = name.startswith("-") and not equals and not switch and not _is_flag(following)
        yield LaunchPiece(tuple(words[at : at + 1 + takes]), flag if takes or equals or switch else None)
        at += 1 + takes


def _is_flag(word: str) -> bool:
    return word.startswith("-") and not re.fullmatch(r"-\d+(\.\d+)?", word)
