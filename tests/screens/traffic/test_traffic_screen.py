"""The Traffic screen as a person meets it: a recording, several servers, and nothing to watch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from textual.pilot import Pilot

from kvtui.app.app import KvtuiApp, WatchStart
from kvtui.attach.source import PlayedRecording, TrafficSource
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.snapshot import Snapshot
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.traffic.film import FilmScreen
from kvtui.screens.traffic.screen import TrafficScreen
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.engine.live.captures import vllm_snapshots
from tests.screens.seen import said_by, text_of
from tests.steady import until

Script = Callable[[KvtuiApp, TrafficScreen, Pilot[None]], Awaitable[None]]


def drive(source: TrafficSource | None, script: Script, size: tuple[int, int] = (120, 36)) -> None:
    """The app on the Traffic screen, whose clock stands still unless the script moves it."""

    def opens(text: str) -> TrafficSource:
        if text == "demo":
            return recording(3)
        raise InputError(f"no server: {text}")

    async def body() -> None:
        given = {"model": "Llama-3.1-8B"}
        session = Session(scenario_from({"model": "Qwen3-8B", "gpu": "H100 SXM"}))
        app = KvtuiApp(session, Settings(remember=False, motion="none"), traffic=WatchStart(source, given, opens))
        async with app.run_test(size=size) as pilot:
            screen = app.screen
            assert isinstance(screen, TrafficScreen)
            screen.clock = lambda: 0.0
            screen._ticked = 0.0
            await script(app, screen, pilot)

    asyncio.run(body())


def recording(servers: int = 1) -> PlayedRecording:
    found = [snapshot for _, snapshot in vllm_snapshots()]
    named = [replace(one, address=f"http://host-{number}") for one in found for number in range(servers)]
    return PlayedRecording("a recording", lambda: named)


async def loaded(app: KvtuiApp, screen: TrafficScreen, pilot: Pilot[None], servers: int = 1) -> None:
    count = len(vllm_snapshots())
    await until(
        pilot, lambda: sum(len(screen.history.until(one, None)) for one in screen.history.addresses) == count * servers
    )
    await pilot.pause()


def test_a_recording_is_played_scrubbed_and_planned_with() -> None:
    async def script(app: KvtuiApp, screen: TrafficScreen, pilot: Pilot[None]) -> None:
        await loaded(app, screen, pilot)
        await pilot.press("end")
        await pilot.pause()
        text = text_of(app)
        assert "nothing binds: no request runs" in text
        assert "vLLM 0.32.0" in text
        assert "32 blocks" in text
        await pilot.press("home")
        assert screen.state.at == min(one.time for _, one in vllm_snapshots())
        for _ in range(3):
            await pilot.press("right")
        await pilot.press("shift+right")
        busy = next(
            beat for beat in screen.history.until("http://host-0", None) if (beat.snapshot.summed("waiting") or 0) > 5
        )
        screen._change(replace(screen.state, at=busy.snapshot.time))
        await pilot.pause()
        assert "the pool binds" in text_of(app)
        before = screen.state.span
        await pilot.press("minus", "right_square_bracket")
        assert screen.state.span > before
        assert screen.state.speed == 2.0
        await until(pilot, lambda: screen._plans.get("http://host-0", (0, None, ""))[1] is not None)
        await pilot.press("p")
        assert app.session.scenario.model.name == "Llama-3.1-8B"
        assert app.session.scenario.engine == "vllm"
        await pilot.press("y")
        assert screen.command == "kvtui watch 'a recording'"

    drive(recording(), script)


def test_several_servers_are_rows_and_enter_opens_one() -> None:
    async def script(app: KvtuiApp, screen: TrafficScreen, pilot: Pilot[None]) -> None:
        await loaded(app, screen, pilot, 3)
        text = text_of(app)
        assert all(f"http://host-{number}" in text for number in range(3))
        assert "3 servers" in text
        await pilot.press("j", "down", "down", "k", "enter")
        assert screen.address == "http://host-1"
        await pilot.pause()
        assert "http://host-1" in text_of(app)
        await pilot.press("escape")
        assert screen.address is None

    drive(recording(3), script, size=(100, 30))


def test_nothing_to_watch_says_what_can_be_done() -> None:
    async def script(app: KvtuiApp, screen: TrafficScreen, pilot: Pilot[None]) -> None:
        await pilot.pause()
        assert "nothing is watched" in text_of(app)
        await pilot.press("space", "right", "enter", "p", "a")
        await until(pilot, lambda: not app.workers._workers)
        assert screen.source is None
        await pilot.press("d")
        await loaded(app, screen, pilot, 3)
        assert "3 servers" in text_of(app)

        def broken() -> list[Snapshot]:
            raise InputError("file: is no recording")

        screen.watch_source(PlayedRecording("broken", broken))
        await until(pilot, lambda: screen.source is None)

    drive(None, script, size=(80, 24))


def test_a_trace_is_replayed_on_the_scenarios_server_and_left_again() -> None:
    async def script(app: KvtuiApp, screen: TrafficScreen, pilot: Pilot[None]) -> None:
        screen._replay_named("synthetic:requests=5,rate=50,prompt=200,answer=4,seed=1")
        await until(pilot, lambda: isinstance(app.screen, FilmScreen) and app.screen.whole)
        film = app.screen
        assert isinstance(film, FilmScreen)
        assert [len(side.history.requests) for side in film.film.sides] == [5, 5]
        await pilot.press("space", "escape")
        assert app.screen is screen
        screen._replay_named("no such file")
        await until(pilot, lambda: "no such file" in said_by(app))

    drive(None, script)
