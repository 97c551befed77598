"""The same log in the forms in which people have it: whatever wraps its lines, the same is read out of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from random import Random

import pytest

from kvtui.engine.bootlog.observed import BootLog
from tests.engine.reconcile.log_files import NAMES, read, told
from tests.paths import LOGS

Form = Callable[[list[str]], str]


def _each(form: Callable[[str], str]) -> Form:
    return lambda lines: "\n".join(map(form, lines))


def _coloured(line: str) -> str:
    """Colours as loggers and terminals put them: around the beginning, numbers and quoted text."""
    return "\x1b[0;36m" + re.sub(r"([0-9.]+|'[^']*')", "\x1b[1m\\1\x1b[0m", line) + "\x1b[K"


def _compose(lines: list[str]) -> str:
    return "\n".join(f"inference-server-1  | {line}" for line in lines)


def _repeated(lines: list[str]) -> str:
    """As a log that was asked for twice: the second time from its middle on."""
    return "\n".join([*lines, *lines[len(lines) // 2 :]])


FORMS: dict[str, Form] = {
    "as it is": "\n".join,
    "Windows": "\r\n".join,
    "colours": _each(_coloured),
    "docker compose": _compose,
    "docker json": _each(
        lambda line: json.dumps({"log": line + "\n", "stream": "stderr", "time": "2026-09-11T01:02:23Z"})
    ),
    "one message": lambda lines: json.dumps({"level": "info", "message": "\n".join(lines)}),
    "structured": _each(lambda line: json.dumps({"level": "info", "message": line}, ensure_ascii=False)),
    "kubernetes": _each(lambda line: f"2026-09-11T01:02:23.000000023Z stderr F {line}"),
    "kubectl": _each(lambda line: f"[pod/server-7c9f5d/engine] {line}"),
    "journal": _each(lambda line: f"Sep 11 01:02:23 host7 engine[4242]: {line}"),
    "time stamps": _each(lambda line: f"[2026-09-11 01:02:23,123] {line}"),
    "quoted": _each(lambda line: f"> {line}"),
    "indented": _each(lambda line: f"        {line}"),
    "trailing blanks": _each(lambda line: f"{line}   "),
    "blank lines between": "\n\n".join,
    "a title before": lambda lines: "# My server's log\n\n```\n" + "\n".join(lines) + "\n```\n",
}


def figures(log: BootLog) -> object:
    """All that was read but the names of ranks, which are the form's own."""
    sizes = {name: sorted(by_rank.values()) for name, by_rank in log.sizes.items()}
    words = {name: word for name, word in log.words.items() if name != "error"}
    buffers = sorted((buffer.kind, buffer.size, buffer.cells, buffer.layers or 0) for buffer in log.buffers)
    return log.engine, log.options, sizes, log.counts, log.ratios, words, buffers


def lines_of(name: str) -> list[str]:
    """The lines of a sample, out of Docker's own wrapping where it is in one."""
    lines = (LOGS / name).read_text(encoding="utf-8").splitlines()
    if not name.endswith(".jsonl.log"):
        return lines
    return [json.loads(line)["log"].rstrip("\n") for line in lines]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(name: str, form: str) -> None:
    assert figures(told(FORMS[form](lines_of(name)))) == figures(read(name))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", NAMES)
def test_every_encoding_says_the_same(name: str, encoding: str) -> None:
    assert figures(told("\n".join(lines_of(name)).encode(encoding))) == figures(read(name))


RANKED = [name for name in NAMES if name.startswith("vllm")]


@pytest.mark.parametrize("name", RANKED)
@pytest.mark.parametrize("seed", range(3))
def test_lines_of_other_ranks_in_between_change_nothing(name: str, seed: int) -> None:
    """A rank that prints what the others do: nothing is added up, and the least and the most stay."""
    random = Random(seed)
    lines = lines_of(name)
    for line in list(lines):
        if any(words in line for words in ("loading took", "KV cache memory", "Graph capturing")):
            bare = line.partition("INFO ")[2] or line
            lines.insert(random.randrange(lines.index(line), len(lines)), f"(Worker_TP7 pid=4711) INFO {bare}")
    log, before = told("\n".join(lines)), read(name)
    for key in before.sizes:
        assert log.least(key) == before.least(key)
        assert log.most(key) == before.most(key)
    assert (log.options, log.counts, log.ratios) == (before.options, before.counts, before.ratios)
