"""Who loads what, in fresh processes: what stays unloaded on the fast paths, and what the app never loads.

Which module may import which is told by the contracts in pyproject.toml; ``lint-imports`` checks them.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.paths import ROOT

HEAVY = {"textual", "pandas", "jax", "matplotlib", "plotext"}
ARRAYS = {
    "kvtui.engine.replay",
    "kvtui.engine.planning.grid",
}


def name_of(path: Path) -> str:
    """The module in the file at ``path``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted((ROOT / "kvtui").rglob("*.py"))}
ENGINE_ROOMS = sorted({".".join(name.split(".")[:3]) for name in MODULES if name.startswith("kvtui.engine.")})


def loaded(code: str) -> set[str]:
    """Top-level modules that ``code`` leaves in sys.modules of a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stderr.split()}


def imported(path: Path) -> set[str]:
    """The modules of the package that the one at ``path`` imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= inner & MODULES.keys() or {node.module}
    return found & MODULES.keys()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: imported(path) for name, path in MODULES.items()}
    assert sum(map(len, graph.values())) > len(graph)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


@pytest.mark.parametrize("room", [room for room in ENGINE_ROOMS if room not in ARRAYS])
def test_the_engine_loads_no_user_interface_and_numpy_only_for_arrays(room: str) -> None:
    names = [name for name in MODULES if name == room or name.startswith(f"{room}.")]
    found = loaded("\n".join(f"import {name}" for name in names if name not in ARRAYS))
    assert not found & (HEAVY | {"rich", "numpy"})


@pytest.mark.parametrize("name", sorted(ARRAYS))
def test_the_engines_arrays_need_numpy_and_nothing_more(name: str) -> None:
    found = loaded("\n".join(f"import {one}" for one in MODULES if one == name or one.startswith(f"{name}.")))
    assert "numpy" in found
    assert not found & (HEAVY | {"rich"})


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["--report", "json"], ["bench", "--help"]])
def test_fast_paths_load_nothing_heavy(words: list[str]) -> None:
    code = f"from kvtui.cli import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    found = loaded(code)
    assert "kvtui" in found
    assert not found & (HEAVY | {"numpy", "rich"})


def test_reports_load_no_textual() -> None:
    forms = "['text', 'csv', 'markdown', 'html']"
    found = loaded(f"from kvtui.cli import main\nfor form in {forms}:\n    main(['--report', form])")
    assert not found & HEAVY


FIRST_PICTURE = """
import asyncio
import kvtui.app.app as module
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.session import Session
from kvtui.widgets.board import BoardView

async def see(values):
    app = module.KvtuiApp(Session(scenario_from(values)))
    async with app.run_test(size=(160, 46)) as pilot:
        while app.screen.query_one(BoardView).cells is None:
            await pilot.pause()

module.begun = lambda: None  # so that nothing more is loaded while the picture is looked at
"""


@pytest.mark.parametrize("values", [{}, {"pa": True}, {"engine": "vllm"}, {"devices": "8"}, {"gpu": "WSE-3"}], ids=str)
def test_the_first_picture_comes_without_numpy(values: dict[str, str | bool]) -> None:
    found = loaded(f"{FIRST_PICTURE}\nasyncio.run(see({values!r}))")
    assert "textual" in found
    assert "numpy" not in found


EVERY_SCREEN = """
import asyncio
from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.keys import MODES
from kvtui.state.session import Session

async def visit():
    app = KvtuiApp(Session(scenario_from({})))
    async with app.run_test(size=(120, 36)) as pilot:
        for mode in MODES:
            app.action_mode(mode.name)
            await pilot.pause()

asyncio.run(visit())
"""


def test_the_app_never_loads_jax() -> None:
    found = loaded(EVERY_SCREEN)
    assert "textual" in found
    assert not found & {"jax", "jaxlib", "jaxtyping", "pandas", "matplotlib"}
