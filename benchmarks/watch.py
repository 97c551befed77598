"""What watching a server costs: the processor's time of a snapshot a second, and requests it adds to the server.

``python benchmarks/watch.py``. The server is a stand-in on loopback that gives the metrics of a real vLLM 0.32 as they
were captured under load. The budget is 2 % of a core at one snapshot a second: 20 ms each, the screen included.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from kvtui.app.app import KvtuiApp, WatchStart
from kvtui.attach.attachment import WatchedServer
from kvtui.attach.http import HttpServer
from kvtui.attach.source import PlayedRecording
from kvtui.engine.live.history import History
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.traffic.screen import TrafficScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.attach.serving import answering, pages
from tests.engine.live.captures import capture, vllm_snapshots

LOOKS, DRAWN = 50, 60


def looks() -> None:
    """A snapshot over HTTP, parsed, and put into the history."""
    text = next(row["metrics"] for row in reversed(capture("vllm-0.32")["rows"]) if "metrics" in row)
    with answering(pages({"/metrics": text.encode()})) as (address, seen):
        watched, history = WatchedServer(HttpServer(address)), History()
        watched.look()
        first, begun = len(seen), time.process_time()
        for _ in range(LOOKS):
            history.add(watched.looks())
        spent = (time.process_time() - begun) / LOOKS
        watched.close()
        asked = (len(seen) - first) / LOOKS
        print(f"a snapshot of {len(text.splitlines())} lines: {spent * 1000:.1f} ms, {asked:.0f} request")


def drawn() -> None:
    """The screen at 160 × 46, one more snapshot each time."""

    async def body() -> None:
        snapshots = [snapshot for _, snapshot in vllm_snapshots()]
        source = PlayedRecording("captured", lambda: snapshots)
        session = Session(scenario_from({"model": "Qwen3-8B", "gpu": "H100 SXM"}))
        traffic = WatchStart(source, {"model": "Llama-3.1-8B"}, lambda text: source)
        app = KvtuiApp(session, Settings(remember=False, motion="none"), traffic=traffic)
        async with app.run_test(size=(160, 46)) as pilot:
            screen = app.screen
            assert isinstance(screen, TrafficScreen)
            await pilot.pause(2.0)
            begun = time.process_time()
            for _ in range(DRAWN):
                await pilot.press("left")
                await pilot.pause(0)
            print(f"a redraw at 160x46: {(time.process_time() - begun) / DRAWN * 1000:.1f} ms")

    asyncio.run(body())


if __name__ == "__main__":
    looks()
    drawn()
