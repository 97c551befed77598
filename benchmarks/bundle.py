"""Makes the trained models that come with kvtui: ``python benchmarks/bundle.py FOLDER``.

Trains the set "bundled" in FOLDER/runs and measures it in FOLDER/results, going on where an earlier call ended, then
copies configs, logs, summaries, tables, and the weights of the first seed into kvtui/data. Takes a quarter of an hour
on two idle cores. Refuses to bundle more than 4 MB.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from kvtui.bench import trained
from kvtui.bench.training import runs

MOST_BYTES = 4_000_000
MEASURE = ("--size", "fast", "--n-trials", "20", "--batch-sizes", "1", "4", "16", "64", "--device", "cpu")


def kvtui(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "kvtui", *words], check=True, stdout=subprocess.DEVNULL)


def main(folder: Path) -> None:
    there, results = folder / "runs", folder / "results"
    if runs.are_in(there) and any(run.summary is None for run in runs.runs_in(there)):
        kvtui("train", "--resume", "--runs-dir", str(there))
    kvtui("train", "--set", "bundled", "--runs-dir", str(there))
    kvtui("bench", "--trained", "--inference-off", "--runs-dir", str(there), "--out", str(results), *MEASURE)
    copy(there, results)


def copy(there: Path, results: Path) -> None:
    """Put what comes with kvtui in its place."""
    for target in (runs.BUNDLED, trained.BUNDLED):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
    for run in runs.runs_in(there):
        if run.summary is None:
            continue
        names = [runs.CONFIG, runs.LOG, runs.SUMMARY, *([runs.WEIGHTS] if run.plan.seed == 0 else [])]
        (runs.BUNDLED / run.name).mkdir()
        for name in names:
            shutil.copy(run.folder / name, runs.BUNDLED / run.name / name)
    for name in (trained.RESULTS, trained.BATCHES):
        shutil.copy(results / name, trained.BUNDLED / name)
    size = sum(path.stat().st_size for root in (runs.BUNDLED, trained.BUNDLED) for path in root.rglob("*"))
    print(f"{size:,} bytes bundled")
    if size > MOST_BYTES:
        sys.exit(f"that is more than {MOST_BYTES:,}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
