"""What the documents name is there: files, functions, modules, commands, links, floors, and the figures of the walk."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import pytest

from kvtui.cli import main
from kvtui.commands.known import COMMANDS, CommandLine
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.values import scenario_from
from tests.paths import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
PATH = re.compile(r"(?:kvtui|tests|docs|benchmarks|examples|\.ci|\.github)/[\w.*{},/-]*(?:::[\w.]+)?")
DOTTED = re.compile(r"kvtui(?:\.[a-z_]\w*)+")
CODE = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
WRITES = re.compile(r" -o |--save-profile|\b[A-Z]{4,}\b")
"""Lines that leave a file, or have a word that stands for another."""

PLACEHOLDER = re.compile(r"[A-Z]{2,}")
QUICK = ("--report", "compare", "models", "devices", "estimate", "reconcile")
"""What the lines begin with that take no longer than a report, and write to stdout alone."""


def id_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def text_of(document: Path) -> str:
    return document.read_text(encoding="utf-8")


def prose_of(document: Path) -> str:
    return BLOCK.sub("", text_of(document))


def code_in(document: Path) -> Iterator[str]:
    """Every piece of code between single backticks."""
    for match in CODE.finditer(prose_of(document)):
        yield match[1]


def named(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Every word of code that ``pattern`` is the whole of, with the document that has it."""
    words = ((id_of(document), word) for document in DOCUMENTS for code in code_in(document) for word in code.split())
    return sorted({(document, word) for document, word in words if pattern.fullmatch(word)})


@cache
def definitions(path: Path) -> set[str]:
    """Names that a module binds at its top, and those in its classes behind the class and a dot."""

    def bound(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
        for node in body:
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                    yield prefix + name
                case ast.ClassDef(name=name, body=inner):
                    yield prefix + name
                    yield from bound(inner, f"{prefix}{name}.")
                case ast.Assign(targets=targets):
                    yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))
                case ast.AnnAssign(target=ast.Name(id=name)):
                    yield prefix + name

    return set(bound(ast.parse(text_of(path)).body))


@pytest.mark.parametrize(("document", "word"), named(PATH))
def test_every_path_and_function_is_there(document: str, word: str) -> None:
    path, _, name = word.partition("::")
    found = sorted(ROOT.glob(PLACEHOLDER.sub("*", path).rstrip("/")))
    assert found, f"{document}: no {path}"
    assert not name or any(name in definitions(file) for file in found), f"{document}: no {name} in {path}"


@pytest.mark.parametrize(("document", "word"), named(DOTTED))
def test_every_module_is_there(document: str, word: str) -> None:
    module, _, attribute = word.rpartition(".")
    spec = importlib.util.find_spec(module)
    assert spec is not None, f"{document}: no {word}"
    own = spec.origin is not None and attribute in definitions(Path(spec.origin))
    assert own or importlib.util.find_spec(word) is not None, f"{document}: no {word}"


SHOWN = sorted(
    {
        (id_of(document), line.strip())
        for document in (ROOT / "docs").rglob("*.md")
        for kind, block in BLOCK.findall(re.sub(r"^   ", "", text_of(document), flags=re.MULTILINE))
        for line in block.splitlines()
        if kind in ("python", "toml") and line.strip() and "..." not in line
    }
)


@pytest.mark.parametrize(("document", "line"), SHOWN)
def test_every_line_of_code_that_is_shown_is_in_the_package(document: str, line: str) -> None:
    found = line in package_text()
    assert found, f"{document}: {line}"


@cache
def package_text() -> str:
    """All code and data of the package."""
    files = (path for end in ("*.py", "*.toml") for path in (ROOT / "kvtui").rglob(end))
    return "\n".join(map(text_of, sorted(files)))


def lines_of(document: Path) -> Iterator[str]:
    """Command lines of kvtui: in blocks of a shell, and between backticks."""
    for kind, block in BLOCK.findall(text_of(document)):
        for line in block.splitlines() if kind == "sh" else ():
            yield from (part.strip() for part in line.split("&&"))
    yield from code_in(document)


LINES = sorted({line for document in DOCUMENTS for line in lines_of(document) if line.startswith("kvtui ")})


NAMES = [f"kvtui {name}" for name in COMMANDS]
"""Commands that are only spoken of."""


@pytest.mark.parametrize("line", [line for line in LINES if line not in NAMES])
def test_every_command_line_is_understood(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    code: object = 0
    try:
        CommandLine().read(shlex.split(line, comments=True)[1:])
    except SystemExit as end:
        code = end.code
    assert code == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [line for line in LINES if line.split()[1] in QUICK and line not in NAMES and not WRITES.search(line)],
)
def test_quick_command_lines_answer(
    line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(shlex.split(line, comments=True)[1:]) in ((0, 4) if "--check" in line else (0,))
    assert capsys.readouterr().out


def anchors(document: Path) -> set[str]:
    """What a link behind ``#`` may say: headings in lower case, without signs, blanks as hyphens."""
    headings = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.replace("`", "").lower()).replace(" ", "-") for heading in headings}


LINKS = sorted({(id_of(document), link) for document in DOCUMENTS for link in LINK.findall(prose_of(document))})


@pytest.mark.parametrize(("document", "link"), [pair for pair in LINKS if "://" not in pair[1]])
def test_every_link_leads_somewhere(document: str, link: str) -> None:
    path, _, anchor = link.partition("#")
    target = (ROOT / document).parent / path if path else ROOT / document
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(prose_of(page)) if "://" not in link)
        waiting += [(page.parent / link).resolve() for link in links if link]
    assert reached == set(DOCUMENTS)


def test_the_floors_are_those_of_the_contracts() -> None:
    contracts = tomllib.loads(text_of(ROOT / "pyproject.toml"))["tool"]["importlinter"]["contracts"]
    floors = {one["containers"][0]: one["layers"] for one in contracts if one["type"] == "layers"}
    drawn = {
        kind.removeprefix("floors "): block.splitlines()
        for kind, block in BLOCK.findall(text_of(ROOT / "docs/ARCHITECTURE.md"))
        if kind.startswith("floors ")
    }
    assert drawn == floors


def test_every_room_has_its_line() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", text_of(ROOT / "docs/ARCHITECTURE.md"), re.MULTILINE)
    package = ROOT / "kvtui"
    folders = {id_of(init.parent) for init in (*package.glob("*/__init__.py"), *package.glob("engine/*/__init__.py"))}
    assert folders - {"kvtui/engine"} <= set(rows)


def test_every_file_of_data_has_its_line() -> None:
    rows = re.findall(r"^\| `(kvtui/data/[^`]+)` \|", text_of(ROOT / "docs/ARCHITECTURE.md"), re.MULTILINE)
    assert sorted(rows) == sorted(id_of(path) for path in (ROOT / "kvtui/data").iterdir())


WALK = {"engine": "vllm", "model": "Llama-3.1-8B", "context": "8K", "kv_pool": "4GiB"}
"""The scenario whose number of blocks the walk follows."""


def test_the_walk_comes_to_its_number() -> None:
    serving = plan(scenario_from(WALK)).serving
    assert serving is not None
    walk = text_of(ROOT / "docs/ARCHITECTURE.md")
    for number in (serving.blocks, serving.pool_bytes, serving.bytes_per_block, serving.max_context):
        assert f"{number:,}" in walk


def test_the_walk_goes_from_function_to_function(capsys: pytest.CaptureFixture[str]) -> None:
    """Its numbered steps name functions that its command line calls, one after the other."""
    steps = re.findall(r"^[0-9]+\. (?:.*\n)(?: +.*\n)*", text_of(ROOT / "docs/ARCHITECTURE.md"), re.MULTILINE)
    told = [tuple(word.split("::")) for step in steps for word in CODE.findall(step) if "::" in word]
    aside = {"OPTIONS", "ModelSpec", "Serving", "budget_under"}
    calls: list[tuple[str, str]] = []

    def called(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(str(ROOT)):
            calls.append((id_of(Path(frame.f_code.co_filename)), frame.f_code.co_qualname))

    sys.setprofile(called)
    try:
        main(["--report", *(word for key, value in WALK.items() for word in (f"--{key.replace('_', '-')}", value))])
    finally:
        sys.setprofile(None)
    assert f"{2048:,}" in capsys.readouterr().out
    following = iter(calls)
    for step in told:
        assert step[1] in aside or step in following, f"{'::'.join(step)} is not called after what is named before it"
    assert len(told) > 30
