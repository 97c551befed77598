"""One walk through the app for all tests of a file, in a folder and with settings of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import find_model
from tests.looks.runs import stored_run
from tests.looks.walk import Looks, Size, walk

MODELS = (
    "Llama-2-7B",
    "Llama-3.1-8B",
    "Llama-3.1-70B",
    "Llama-3.1-405B",
    "Qwen3-8B",
    "Qwen3-32B",
    "Qwen3-30B-A3B",
    "Qwen3-235B-A22B",
    "Qwen3-Next-80B-A3B",
    "DeepSeek-V3",
    "DeepSeek-V3.2",
    "Mixtral-8x7B",
    "gemma-3-27b",
    "gpt-oss-20b",
    "gpt-oss-120b",
    "Falcon-H1-7B",
    "Phi-4",
    "GLM-4.5",
    "Kimi-K2",
    "MiniMax-M1",
)
DEVICES = (
    "RTX 3060 12GB",
    "RTX 4090",
    "RTX 5090",
    "RTX 6000 Ada",
    "T4",
    "L4",
    "L40S",
    "A10",
    "A100 40GB SXM",
    "A100 80GB PCIe",
    "A100 80GB SXM",
    "H100 PCIe",
    "H100 SXM",
    "H100 NVL",
    "H200 SXM",
    "GH200 96GB",
    "B200",
    "B300",
    "Instinct MI300X",
    "Instinct MI325X",
    "TPU v5e",
    "Gaudi 3",
    "Apple M3 Ultra",
    "Apple M4 Max",
    "WSE-2",
)
"""Pickers and tables show these and no others, so that a new row of a catalogue changes no recorded look."""


@pytest.fixture(scope="module")
def walked(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[tuple[str, Size], Looks]]:
    """The looks of the ``SCENES`` of the file, by name and size, in the app that ``MAKE`` makes for ``VALUES``."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("looks"))
        patch.setenv("KVTUI_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        stored_run(Path("results"))
        for module in ("kvtui.screens.windows.pickers", "kvtui.engine.advice.matrix"):
            patch.setattr(f"{module}.all_models", lambda: tuple(map(find_model, MODELS)))
            patch.setattr(f"{module}.all_devices", lambda: tuple(map(find_device, DEVICES)))
        shown = request.module
        yield asyncio.run(walk(shown.MAKE, shown.VALUES, shown.SCENES))


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    """Whether looks are recorded instead of compared."""
    return bool(request.config.getoption("--update-looks"))
