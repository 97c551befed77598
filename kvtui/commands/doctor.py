"""``kvtui doctor``: what a bug report needs: versions, terminal, accelerators, and where files are."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from kvtui import __version__
from kvtui.app.terminal import answers
from kvtui.bench.this_machine import read_machine
from kvtui.canvas.pixels.terminal import ANSWER, QUESTIONS, is_asked, is_last, understood
from kvtui.commands.answer import Answer
from kvtui.commands.parser import TABLE_FORMATS, add_table, choose
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.places import config_dir, state_dir
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.basis.untrusted import plain, shell_word
from kvtui.engine.device.catalogue import wrong_devices
from kvtui.engine.device.machine import shown, words
from kvtui.engine.model.catalogue import wrong_models
from kvtui.engine.planning.cluster import wrong_clusters
from kvtui.engine.sources.machines import profile_names
from kvtui.output import table
from kvtui.output.table import Column

if TYPE_CHECKING:
    import argparse

COLUMNS = (
    Column("topic", "topic", priority=0),
    Column("item", "item", priority=0),
    Column("value", "value", priority=0),
)
PACKAGES = (
    "textual",
    "rich",
    "plotext",
    "numpy",
    "pandas",
    "jax",
    "gguf",
    "huggingface_hub",
    "matplotlib",
    "prometheus_client",
    "pyzmq",
    "msgpack",
)
HOW = {
    "config.toml": "the README has its keys",
    "models.toml": "kvtui models --template prints an entry to begin with",
    "devices.toml": "kvtui devices --template prints an entry to begin with",
}
PROBE_SECONDS = 20
JAX_PROBE = "import jax; print(', '.join(f'{d.platform} {d.device_kind}' for d in jax.devices()))"


def add(parser: argparse.ArgumentParser) -> None:
    """The options of the table."""
    add_table(parser)


def run(args: argparse.Namespace) -> int:
    """Print what is worth knowing; what could not be found out says so.

    Raises UnknownName for a wrong format, OSError when it cannot be written.
    """
    answer = Answer(args, args.format)
    choose("format", args.format, TABLE_FORMATS)
    found = (*_versions(), *_terminal(), *_accelerators(), *_places(), *_left_out())
    rows = [{"topic": topic, "item": item, "value": value} for topic, item, value in found]
    answer.write(table.render(COLUMNS, rows, args.format, answer.width, answer.color, answer.ascii_only))
    return 0


def _versions() -> Iterator[tuple[str, str, str]]:
    yield "version", "kvtui", __version__
    yield "version", "python", platform.python_version()
    yield "version", "system", f"{platform.system()} {platform.release()} {platform.machine()}"
    for package in PACKAGES:
        try:
            found = metadata.version(package)
        except metadata.PackageNotFoundError:
            found = "not installed"
        yield "version", package, found


def _terminal() -> Iterator[tuple[str, str, str]]:
    size = shutil.get_terminal_size()
    yield "terminal", "stdout", "a terminal" if sys.stdout.isatty() else "not a terminal"
    yield "terminal", "size", f"{size.columns}x{size.lines}"
    yield "terminal", "encoding", sys.stdout.encoding or "unknown"
    for name in ("TERM", "COLORTERM", "NO_COLOR"):
        yield "terminal", name, plain(os.environ.get(name, "not set"))
    yield "terminal", "pictures", _pictures()


def _pictures() -> str:
    """How the terminal draws pictures, by what it says of itself."""
    asked = is_asked(os.environ)
    heard = answers(QUESTIONS, is_last, ANSWER) if asked else []
    found = understood(heard, os.environ)
    name = f" ({plain(found.name)})" if found.name else ""
    if found.protocol is None:
        why = "no protocol of pixels" if heard else "it did not answer" if asked else "this terminal is not asked"
        return f"half blocks: {why}{name}"
    return f"pixels, by {found.protocol}, {found.cell[0]}x{found.cell[1]} a cell{name}"


def _left_out() -> Iterator[tuple[str, str, str]]:
    """Entries of the user's own catalogues that are wrong."""
    for name, wrong in (("models", wrong_models), ("devices", wrong_devices), ("clusters", wrong_clusters)):
        try:
            for line in wrong():
                yield "left out", name, line
        except InputError as error:
            yield "left out", name, str(error)


def _accelerators() -> Iterator[tuple[str, str, str]]:
    machine = read_machine()
    for tool, said in machine.tried:
        yield "accelerator", tool, said
    for number, found in enumerate(machine.devices, 1):
        yield "accelerator", f"device {number}", shown(found)
    yield "accelerator", "processor", machine.processor or "not told"
    yield "accelerator", "RAM", "not told" if machine.ram is None else format_bytes(machine.ram)
    try:
        local = " ".join(f"--{key} {shell_word(value)}" for key, value in words(machine).items())
    except InputError as error:
        local = str(error)
    yield "accelerator", "--gpu local", local
    yield "accelerator", "jax", _probe([sys.executable, "-c", JAX_PROBE])


def _probe(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"failed: {type(error).__name__}"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    shown = "; ".join(lines) if done.returncode == 0 else f"failed: {lines[-1] if lines else done.returncode}"
    return plain(shown, limit=200)


def _places() -> Iterator[tuple[str, str, str]]:
    folder = Path(config_dir())
    yield "files", "configuration", plain(str(folder), limit=400)
    yield "files", "last scenario", plain(state_dir(), limit=400)
    for name in ("config.toml", "models.toml", "devices.toml"):
        path = folder / name
        said = "there" if path.is_file() else f"none; {HOW[name]}"
        yield "files", name, f"{plain(str(path), limit=400)} ({said})"
    yield "files", "profiles", plain(", ".join(profile_names()) or "none", limit=400)
