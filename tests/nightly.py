"""What only the nightly profile has the time for: ``KVTUI_TEST_PROFILE=nightly pytest``."""

from __future__ import annotations

import os

import pytest

NIGHTLY = os.environ.get("KVTUI_TEST_PROFILE") == "nightly"

nightly = pytest.mark.skipif(not NIGHTLY, reason="the nightly profile has the time for it")
"""What a test of the suite shows already, once more or at greater length."""


def sampled(every: int) -> pytest.MarkDecorator:
    """A mark of a test, or of all tests of a file: of its cases the suite runs one of ``every``, the night all.

    Cases that are chosen by name or by ``-k`` are counted anew, so that a single one always runs.
    """
    return pytest.mark.sampled(1 if NIGHTLY else every)
