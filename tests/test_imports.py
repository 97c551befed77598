"""The import contract, checked in fresh processes: who may load what, and what stays unloaded on the fast paths."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT

HEAVY = {"textual", "pandas", "jax", "matplotlib", "plotext"}
ENGINE_BANNED = HEAVY | {"rich"}


def loaded(code: str) -> set[str]:
    """Top-level modules that ``code`` leaves in sys.modules of a fresh interpreter."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return {name.partition(".")[0] for name in done.stderr.split()}


ENGINE_MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "kvtui" / "engine").rglob("*.py")
    if path.name != "__init__.py"
)


def test_no_engine_module_loads_a_user_interface():
    assert len(ENGINE_MODULES) > 15
    found = loaded("\n".join(f"import {name}" for name in ENGINE_MODULES))
    assert not found & ENGINE_BANNED


ARRAYS = {"kvtui.engine.planning.grid", "kvtui.engine.picture.device_memory", "kvtui.engine.picture.bank_map"}


@pytest.mark.parametrize("name", sorted(set(ENGINE_MODULES) - ARRAYS))
def test_engine_modules_load_without_numpy(name):
    assert "numpy" not in loaded(f"import {name}")


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["--report", "json"]])
def test_fast_paths_load_nothing_heavy(words):
    code = f"from kvtui.cli import main\ntry:\n    main({words!r})\nexcept SystemExit:\n    pass"
    found = loaded(code)
    assert "kvtui" in found
    assert not found & (HEAVY | {"numpy", "rich"})


def test_reports_load_no_textual():
    forms = "['text', 'csv', 'markdown', 'html']"
    found = loaded(f"from kvtui.cli import main\nfor form in {forms}:\n    main(['--report', form])")
    assert not found & HEAVY
