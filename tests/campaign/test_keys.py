"""Hundreds of random keys, clicks, pastes and sizes in bursts, each sequence in its own process: none ends the app.

Nightly (``KVTUI_TEST_PROFILE=nightly``): a sequence takes some twenty seconds. A seed that failed is run again by
``python -m tests.campaign.test_keys SEED``.
"""

from __future__ import annotations

import asyncio
import os
import random
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal

import pytest

from kvtui.app.app import KvtuiApp
from kvtui.engine.scenario.values import scenario_from
from kvtui.state.keys import MODES
from kvtui.state.session import Session
from kvtui.state.settings import MOTIONS, Settings
from tests.paths import ROOT
from tests.screens.monkey import PRESSED, Mouse, Pasted, Sized, Step, play

SEEDS = range(39)
STEPS = 600
LIMIT_SECONDS = 900
MOST_BYTES = 4 * 2**30
SIZES = ((80, 24), (120, 36), (160, 46), (200, 60))
BURSTS = (1, 1, 2, 3, 5, 8, 13, 30)
GESTURES: tuple[Literal["click", "up", "down"], ...] = ("click", "click", "up", "down")
PASTES = ("qwen", "\n", "64K", "[@click=app.quit]x", "\x1b[31m", "é" * 3000)


def step(chance: random.Random) -> Step:
    """One thing that a person may do: mostly a key."""
    kind = chance.random()
    if kind < 0.70:
        return chance.choice(PRESSED)
    if kind < 0.78:
        return chance.choice(["enter", "escape"])
    if kind < 0.88:
        return Mouse(chance.choice(GESTURES), chance.random(), chance.random(), chance.random() < 0.2)
    if kind < 0.92:
        any_size = chance.random() < 0.5
        return Sized(chance.randint(1, 220), chance.randint(1, 70)) if any_size else Sized(*chance.choice(SIZES))
    return Pasted(chance.choice(PASTES)) if kind < 0.94 else chance.choice(MODES).number


class Staying(KvtuiApp):
    """An app that a click on the key that quits does not end: a resize may have put it under the mouse."""

    async def action_quit(self) -> None:
        """Stay."""


async def sequence(seed: int) -> None:
    """STEPS steps of ``seed`` in bursts, with pauses between some."""
    chance = random.Random(seed)
    scenario = scenario_from({"model": "Llama-3.1-8B", "gpu": "H100 SXM"})
    settings = Settings(motion=chance.choice(MOTIONS), remember=False, ascii=chance.random() < 0.2)
    app = Staying(Session(scenario), settings)
    async with app.run_test(size=chance.choice(SIZES[:3]), notifications=True):
        done = 0
        while done < STEPS:
            burst = [step(chance) for _ in range(chance.choice(BURSTS))]
            done += len(burst)
            await play(app, burst)
            if chance.random() < 0.3:
                await asyncio.sleep(chance.choice([0.02, 0.1, 0.3]))


@pytest.mark.skipif(os.environ.get("KVTUI_TEST_PROFILE") != "nightly", reason="takes a quarter of an hour")
@pytest.mark.parametrize("seed", SEEDS)
def test_no_sequence_ends_the_app(seed: int, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.campaign.test_keys", str(seed)],
        cwd=ROOT,
        env={**os.environ, "KVTUI_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))  # a run without end is to end here
    os.chdir(tempfile.mkdtemp())
    asyncio.run(sequence(int(sys.argv[1])))
    os._exit(0)  # threads that still draw do not matter here
