"""A closed world for every test: no user catalogues or colour settings, no animations, bounded hypothesis profiles."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator

os.environ["KVTUI_CONFIG_DIR"] = tempfile.mkdtemp(prefix="kvtui-tests-")
os.environ["KVTUI_STATE_DIR"] = tempfile.mkdtemp(prefix="kvtui-tests-")
os.environ["TEXTUAL_ANIMATIONS"] = "none"
for name in ("NO_COLOR", "COLORTERM", "COLUMNS", "LINES", "PYTHONDONTWRITEBYTECODE"):
    os.environ.pop(name, None)

import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from textual.pilot import Pilot  # noqa: E402

from tests.steady import pause  # noqa: E402

slow_is_fine = [HealthCheck.too_slow, HealthCheck.data_too_large]
# The same examples on every run: a push must not fail for what it did not change. The night looks for new ones.
settings.register_profile("suite", max_examples=20, deadline=None, derandomize=True, suppress_health_check=slow_is_fine)
settings.register_profile("nightly", max_examples=2000, deadline=None, suppress_health_check=slow_is_fine)
settings.load_profile(os.environ.get("KVTUI_TEST_PROFILE", "suite"))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``pytest tests/looks --update-looks`` records what screens look like, in place of comparing it."""
    parser.addoption("--update-looks", action="store_true", help="record how the screens look now")


def pytest_configure(config: pytest.Config) -> None:
    """Names the mark of ``tests.nightly.sampled``."""
    config.addinivalue_line("markers", "sampled(every): of the cases of a test one of so many is run")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the cases that ``tests.nightly.sampled`` leaves to the night."""
    seen: Counter[str] = Counter()
    kept: list[pytest.Item] = []
    left: list[pytest.Item] = []
    for item in items:
        mark = item.get_closest_marker("sampled")
        test = item.nodeid.partition("[")[0]
        (left if mark and seen[test] % mark.args[0] else kept).append(item)
        seen[test] += 1
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = kept


@pytest.fixture(scope="session", autouse=True)
def steady() -> Iterator[None]:
    """A pilot that waits for what an app does, not for what time it takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Pilot, "pause", pause)
        yield
