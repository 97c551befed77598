"""One walk through the app for all tests of a file, in a folder and with settings of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from kvtui.engine.advice.matrix import evaluate
from tests.looks.runs import stored_run
from tests.looks.walk import Looks, Size, walk


@pytest.fixture(scope="module")
def walked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, Size], Looks]]:
    """The looks of the ``SCENES`` of the file, by name and size, in the app that ``MAKE`` makes for ``VALUES``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("looks"))
        patch.setenv("KVTUI_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        stored_run(Path("results"))
        patch.setattr(
            "kvtui.screens.plan.sheet.evaluate", cache(evaluate)
        )  # two apps show the table of the Plan screen
        module = request.module
        yield asyncio.run(walk(module.MAKE, module.VALUES, module.SCENES))


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether looks are recorded instead of compared."""
    return bool(request.config.getoption("--update-looks"))
