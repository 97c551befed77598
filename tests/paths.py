"""Where the repository and the tests' recorded files are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
DATA = ROOT / "tests" / "data"
LOGS = DATA / "logs"
STARTED = DATA / "started"
