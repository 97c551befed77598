"""The picker that chooses one of the stored runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kvtui.bench import store
from kvtui.bench.host import machines
from kvtui.canvas.cells import fit
from kvtui.cases.table import ColumnValues
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.screens.windows.picker import Entry, Fit, Picker, PickerColumn, Source

COLUMNS = (
    PickerColumn("run", 20, right=False),
    PickerColumn("benchmark", 16),
    PickerColumn("cases", 9),
    PickerColumn("JAX", 8, always=False),
    PickerColumn("machine", 28, always=False),
    PickerColumn("state", 11),
)


class RunPicker(Picker):
    """Chooses one of the runs in ``out``, or reads the folder or CSV file that was typed; ``take`` gets its path."""

    def __init__(self, title: str, out: Path, current: Path | None, take: Callable[[Path], None]) -> None:
        runs = {plain(path.name, limit=80): (path, about) for path, about in store.runs_in(out)}

        def typed(text: str) -> Callable[[], None]:
            path = Path(text).expanduser()
            try:
                store.read(path)
            except OSError as error:
                raise InputError(f"{plain(text)}: cannot be read: {plain(error.strerror or str(error))}") from None
            return lambda: take(path)

        super().__init__(
            Source(
                title=title,
                placeholder="search, or type a folder or a CSV file",
                columns=COLUMNS,
                current="" if current is None else plain(current.name, limit=80),
                entries=lambda: _entries(runs),
                fit=lambda name: _state(runs[name][1]),
                take=lambda name: take(runs[name][0]),
                typed=typed,
                reads="a run's folder or a CSV file",
            )
        )


def _entries(runs: dict[str, tuple[Path, ColumnValues]]) -> Iterator[Entry]:
    for name, (path, about) in runs.items():
        host = about.get("host") if isinstance(about.get("host"), dict) else {}
        assert isinstance(host, dict)
        what = f"{plain(str(about.get('what')), 20)} {plain(str(about.get('size')), 20)}"
        machine = fit(" · ".join(machines(about)) or "–", 28).rstrip()
        jobs = (about.get("sweep") or {}).get("jobs") if isinstance(about.get("sweep"), dict) else ()
        cells = what, f"{len(jobs or ())}", plain(str(host.get("jax") or "–"), 8), machine
        groups = about.get("groups")
        about_groups = ", ".join(map(str, groups)) if isinstance(groups, list) else ""
        yield Entry(
            name=name,
            words=f"{name} {what} {machine} {about_groups}".casefold(),
            cells=cells,
            about=plain(f"{about.get('started')} in {path}: {about_groups}", limit=400),
        )


def _state(about: ColumnValues) -> Fit:
    done = about.get("finished") is not None
    return Fit(done, "complete" if done else "unfinished")
