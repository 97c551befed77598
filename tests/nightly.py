"""What only the nightly profile has the time for: ``KVTUI_TEST_PROFILE=nightly pytest``."""

from __future__ import annotations

import os

NIGHTLY = os.environ.get("KVTUI_TEST_PROFILE") == "nightly"
