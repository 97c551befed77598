"""The Memory screen: what its keys do to the scenario, the film and the picture, at every size."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from kvtui.app.app import KvtuiApp
from kvtui.canvas.palette import Ink
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.planning.cluster import linked
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.saying.alerts import COOL_DOWN_SECONDS, OPEN_SECONDS
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.memory.screen import MemoryScreen
from kvtui.screens.memory.sections import EXPLANATIONS, TOPICS, topic_of
from kvtui.screens.windows.explain import ExplainScreen
from kvtui.state import keys
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from kvtui.widgets.board import BoardView
from kvtui.widgets.panels import FilmBar, PanelColumn
from tests.nightly import NIGHTLY
from tests.present import present
from tests.screens.seen import said_by, text_of
from tests.steady import until

SIZES = [(200, 60), (120, 36), (100, 30), (80, 24)]
SCENARIO = {"model": "Llama-3.1-8B", "gpu": "H200 SXM", "context": "128K", "batch": "8"}
SETTINGS = Settings(fps=30, palette="rgb")


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Watched(KvtuiApp):
    """The app with a Memory screen whose clock a test moves."""

    def __init__(self, session: Session, settings: Settings, *, play: bool) -> None:
        self.clock = Clock()
        super().__init__(session, settings, play=play)

    def memory_screen(self) -> Screen[None]:
        return MemoryScreen(self.session, self.settings, play=self._play, clock=self.clock)


class Seen:
    """The running app, its Memory screen, and a clock that the test moves."""

    def __init__(self, app: KvtuiApp, screen: MemoryScreen, clock: Clock, pilot: Pilot[None]) -> None:
        self.app, self.screen, self.clock, self.pilot = app, screen, clock, pilot

    async def pause(self) -> None:
        await self.pilot.pause()

    async def until(self, holds: Callable[[], object]) -> None:
        await until(self.pilot, holds)

    async def keys(self, *names: str) -> None:
        for name in names:
            self.app.simulate_key(name)
        await self.pause()

    async def tick(self, seconds: float, frames: int = 4) -> None:
        for _ in range(frames):
            self.clock.now += seconds / frames
            self.screen.tick()
        await self.pause()

    @property
    def board(self) -> BoardView:
        return self.screen.query_one(BoardView)

    @property
    def codes(self) -> bytes:
        return self.screen.picture.banks.codes

    def text(self) -> str:
        return text_of(self.app)


def watch(
    body: Callable[[Seen], Awaitable[None]],
    size: tuple[int, int] = (120, 36),
    play: bool = False,
    settings: Settings = SETTINGS,
    **values: str | bool,
) -> None:
    async def run() -> None:
        app = Watched(Session(scenario_from({**SCENARIO, **values})), settings, play=play)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            assert isinstance(app.screen, MemoryScreen)
            await body(Seen(app, app.screen, app.clock, pilot))

    asyncio.run(run())


@pytest.mark.parametrize("size", SIZES)
def test_every_size_shows_the_board_and_the_plan(size: tuple[int, int]) -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("end")
        text = seen.text()
        assert "Llama-3.1-8B" in text
        assert "131,072 / 128K" in text
        assert "HBM3e" in text
        assert max(map(len, text.splitlines())) <= size[0]
        parts = seen.screen.picture.allocation.parts
        assert parts == seen.app.session.plan.per_device
        whole, banks = seen.app.session.plan.usable_per_device, seen.screen.picture.banks
        purple = seen.codes.count(Code.WEIGHTS)
        assert abs(purple - parts.weights * banks.banks / whole) < 1
        assert np.count_nonzero(present(seen.board.cells).ink == Ink.WEIGHTS) == purple
        assert np.count_nonzero(present(seen.board.cells).ink == Ink.OVERFLOW) > len(banks.beyond) > 0
        assert "beyond the device" in text
        assert "weights" in text

    watch(body, size)


def test_too_small_is_one_line() -> None:
    async def body(seen: Seen) -> None:
        assert "needs 60x18" in seen.text()
        assert "HBM" not in seen.text()

    watch(body, (59, 20))


def test_space_plays_and_pauses_and_everything_holds_still() -> None:
    async def body(seen: Seen) -> None:
        assert seen.screen.film.tokens == 131_072
        await seen.keys("space")
        start = seen.screen.film.tokens
        assert seen.screen.film.playback.playing
        await seen.tick(1.0)
        assert seen.screen.picture.tokens > start
        await seen.keys("space")
        held, picture = seen.screen.picture.tokens, present(seen.board.cells).text()
        seen.clock.now += 60
        seen.screen.redraw()
        await seen.pause()
        assert seen.screen.picture.tokens == held
        assert present(seen.board.cells).text() == picture

    watch(body)


def test_speed_scales_the_film() -> None:
    async def body(seen: Seen) -> None:
        rate = seen.screen.film.playback.rate
        await seen.keys("right_square_bracket")
        assert seen.screen.film.playback.rate == 2 * rate
        for _ in range(12):
            await seen.keys("left_square_bracket")
        assert seen.screen.film.playback.speed == 0.5

    watch(body)


def test_toggles_change_what_is_computed_and_so_the_picture() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("end")
        static = seen.screen.picture.banks.counts
        await seen.keys("B", "i")
        continuous = seen.screen.picture.banks.counts
        assert seen.app.session.scenario.fill == "average"
        assert sum(continuous.sequences) == pytest.approx(0.3 * sum(static.sequences), abs=8)
        await seen.keys("B", "i", "i", "home", "right")
        reserved = seen.screen.picture.banks.counts.reserved
        assert reserved > 0
        await seen.keys("P")
        assert seen.screen.picture.banks.counts.reserved == 0
        await seen.keys("o", "end", "F")
        assert seen.codes.count(Code.SAVED) == 0
        weights = seen.screen.picture.allocation.parts.weights
        total = seen.screen.picture.allocation.parts.total
        await seen.keys("W")
        assert seen.screen.picture.allocation.parts.total == total - weights
        assert seen.codes.count(Code.WEIGHTS) == 0

    watch(body, context="64K")


def test_what_flash_attention_avoids_is_drawn_when_asked_for_and_where_there_are_tokens() -> None:
    async def body(seen: Seen) -> None:
        assert seen.codes.count(Code.SAVED) == 0
        assert "saved by FlashAttention" in seen.text()
        await seen.keys("o")
        assert seen.codes.count(Code.SAVED) > 0
        await seen.keys("home")
        assert seen.codes.count(Code.SAVED) == 0

    watch(body, context="64K")


def test_a_what_if_is_typed_and_what_it_frees_is_drawn() -> None:
    async def body(seen: Seen) -> None:
        assert seen.codes.count(Code.FREED) == 0
        await seen.keys("colon")
        seen.app.screen.query_one(Input).value = "what-if mqa"
        await seen.pause()
        await seen.keys("enter")
        await seen.until(lambda: seen.app.session.scenario.model.what_if == "mqa")
        assert seen.codes.count(Code.FREED) > sum(code >= FIRST_SEQUENCE for code in seen.codes)
        assert "freed, what if" in seen.text()
        assert "what if one KV head (Shazeer" in seen.text()
        await seen.keys("u")
        assert seen.codes.count(Code.FREED) == 0

    watch(body, (160, 46), context="64K")


def test_a_film_that_ends_says_what_it_showed() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("space")
        await seen.tick(20.0)
        assert not seen.screen.film.playing
        assert "8 sequences grew to 32K tokens, all full: cache 32.00 GiB beside 14.96 GiB of weights" in seen.text()
        await seen.keys("left")
        assert "grew to" not in seen.text()

    watch(body, (160, 46), context="32K")


def test_a_click_on_the_board_plays_and_the_right_button_selects() -> None:
    async def body(seen: Seen) -> None:
        await seen.pilot.click("#board", offset=(20, 8))
        assert seen.screen.film.playing
        await seen.pilot.click("#board", offset=(20, 8))
        assert not seen.screen.film.playing
        await seen.pilot.click("#board", offset=(2, 2), button=3)
        assert "bank " in seen.text()

    watch(body, (160, 46), context="32K")

    watch(body, context="32K", batch="4")


def test_batches_and_contexts_step() -> None:
    async def body(seen: Seen) -> None:
        for key, field in (("full_stop", "batch"), ("plus", "context")):
            before = getattr(seen.app.session.scenario, field)
            await seen.keys(key)
            assert getattr(seen.app.session.scenario, field) != before, key
        assert seen.board.modules == seen.app.session.scenario.device.memory.modules

    watch(body)


def test_several_devices_are_a_grid_and_the_fullest_can_be_seen_alone() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("v", "v", "v")
        assert seen.app.session.scenario.layout.devices == 8
        assert "NVLink 4, 450 GB/s one way" in seen.text()
        await seen.keys("z")
        assert "HBM3e 1" in seen.text()

    watch(body, (160, 46))


def test_a_bank_says_what_it_holds() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("end", "down")
        assert "bank 0: weights" in seen.text()
        await seen.keys("up")
        assert f"bank {len(seen.codes) - 1:,}" in seen.text()

    watch(body, (160, 46))


def test_selecting_ends_with_escape_and_explains_what_is_selected() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("end", "down", "escape")
        assert "one bank = " in seen.text()
        await seen.keys("down", "e")
        assert isinstance(seen.app.screen, ExplainScreen)
        assert seen.app.screen.about == "weights"
        await seen.keys("escape")
        await seen.keys("up", "e")
        assert seen.app.screen.about == topic_of(int(seen.codes[-1]))

    watch(body, (160, 46))


def test_every_topic_is_explained() -> None:
    sessions = [
        Session(scenario_from({"model": "Qwen3-Next-80B-A3B", "engine": engine})) for engine in ("none", "vllm")
    ]
    sessions.append(Session(scenario_from({"what_if": "mqa"})))
    found = [one.id for session in sessions for one in session.explanations]
    for topic in {*EXPLANATIONS.values(), *TOPICS.values(), topic_of(255)}:
        assert any(id == topic or id.startswith(f"{topic}.") for id in found), topic


def test_the_link_is_switched_by_key_by_click_and_by_the_panel() -> None:
    async def body(seen: Seen) -> None:
        fast = present(seen.screen.picture.estimate.tokens_per_second)
        await seen.keys("L")
        assert "PCIe 5.0 x16, 63 GB/s one way" in seen.text()
        assert seen.screen.picture.estimate == estimate(linked(seen.app.session.plan, fast_link=False))
        assert present(seen.screen.picture.estimate.tokens_per_second).low < fast.low
        await seen.pilot.click("#board", offset=(5, seen.board.size.height - 1))
        assert "NVLink 4, 450 GB/s one way" in seen.text()
        column = seen.screen.query_one("#right", PanelColumn)
        row = next(y for y, line in enumerate(present(column.cells).text().splitlines()) if "L link" in line)
        await seen.pilot.click("#right", offset=(5, row))
        await seen.pause()
        assert "PCIe 5.0 x16, 63 GB/s one way" in seen.text()
        seen.app.session.change(batch=2)
        assert not seen.screen.picture.fast_link
        seen.app.session.set_text("gpu", "B200")
        assert seen.screen.picture.fast_link

    watch(body, (160, 46), gpus="8")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"gpus": "1"}, "one device alone has no links"),
        ({"dp": "256", "batch": "256"}, "a picture has room for 128 devices"),
        ({"gpu": "GB200", "gpus": "4"}, "the PCIe slot of the GB200 is not known"),
        ({"gpu": "RTX 4090", "gpus": "2"}, "no link but PCIe is known for the RTX 4090"),
    ],
)
def test_a_link_that_cannot_be_switched_says_why(values: dict[str, Any], said: str) -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("L")
        assert said in said_by(seen.app)
        assert seen.screen.picture.fast_link

    watch(body, (80, 24), context="4K", **values)


def test_a_device_says_what_it_holds() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("end", "down", "down")
        parts = seen.app.session.plan.per_device
        assert "device 1, stage 0 of 2, rank 1 of 4" in seen.text()
        assert f"weights {parts.weights / 2**30:.2f} GiB" in seen.text()
        await seen.pilot.click("#board", offset=(2, 2), button=3)
        assert "device 0, stage 0 of 2, rank 0 of 4" in seen.text()
        await seen.keys("escape")
        assert "banks on each of 8 devices" in seen.text()

    watch(body, (160, 46), tp="4", pp="2")


def outgrown(seen: Seen) -> str:
    """What is said of a plan that is too large, while it is."""
    said = seen.app.said
    return said.text if said is not None and said.shown_for == OPEN_SECONDS else ""


def test_what_is_outgrown_is_said_below_the_board_and_any_key_ends_it() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("space")
        assert outgrown(seen) == ""
        seen.app.session.set_text("model", "Llama-3.1-70B")
        await seen.pause()
        assert "do not fit one device: this needs 3 devices" in outgrown(seen)
        assert outgrown(seen) in " ".join(seen.text().split())
        await seen.until(lambda: "As it is, " in seen.text())
        assert "f what would make it fit" in seen.text()
        before = seen.screen.picture.tokens
        await seen.tick(1.0)
        assert seen.screen.picture.tokens > before
        await seen.keys("B")
        assert seen.app.session.scenario.continuous_batching
        assert outgrown(seen) == ""

    watch(body, context="64K")


def test_what_was_said_stays_away_for_a_while() -> None:
    async def body(seen: Seen) -> None:
        seen.app.session.set_text("model", "Llama-3.1-70B")
        await seen.pause()
        assert outgrown(seen)
        seen.clock.now += OPEN_SECONDS
        seen.app.clear_notifications()
        for batch in (4, 2, 1, 8):
            seen.clock.now += 0.9
            seen.app.session.set_text("model", "Llama-3.1-8B")
            seen.app.session.change(batch=batch)
            seen.app.session.set_text("model", "Llama-3.1-70B")
            await seen.pause()
            assert outgrown(seen) == ""
        seen.clock.now += COOL_DOWN_SECONDS
        await seen.until(lambda: outgrown(seen))

    watch(body, (80, 24), context="64K")


def test_of_enough_devices_nothing_is_said() -> None:
    async def body(seen: Seen) -> None:
        await seen.until(lambda: "papers" in seen.text())
        assert outgrown(seen) == ""

    watch(body, (160, 60), model="Llama-3.1-70B", gpus="4")


def test_the_panel_names_the_keys_of_the_keymap() -> None:
    async def body(seen: Seen) -> None:
        assert "f6 model" in seen.text()
        assert " c context" in seen.text()

    watch(body, (160, 46), settings=Settings(palette="rgb", keymap={"model": "f6"}))


def test_ascii_pictures_have_a_character_for_everything() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("end")
        for _ in range(2):
            text = "".join(seen.text().splitlines()[1:-1])
            assert text.isascii()
            assert "?" not in text
            await seen.keys("z")

    watch(body, settings=Settings(ascii=True), gpus="2")


def test_clicks_do_what_the_panel_says() -> None:
    async def body(seen: Seen) -> None:
        column = seen.screen.query_one("#right", PanelColumn)
        column.post_message(PanelColumn.Clicked("next_batch"))
        await seen.pause()
        assert seen.app.session.scenario.batch == 16
        bar = seen.screen.query_one(FilmBar)
        bar.post_message(FilmBar.Scrubbed(0.5))
        await seen.pause()
        assert seen.screen.picture.tokens == 65_536

    watch(body, (160, 46))


def test_the_drawer_opens_where_there_is_no_room_beside_the_board() -> None:
    async def body(seen: Seen) -> None:
        assert "continuous batching" not in seen.text()
        await seen.keys("s")
        assert "continuous batching" in seen.text()

    watch(body, (90, 36))


def test_the_drawer_has_the_numbers_where_one_panel_has_room() -> None:
    async def body(seen: Seen) -> None:
        assert "legend at full context" in seen.text()
        await seen.keys("s")
        assert "memory at full context" in seen.text()
        assert "legend at full context" not in seen.text()

    watch(body, (110, 36), context="32K")


def test_the_drawer_closes_where_there_is_room() -> None:
    async def body(seen: Seen) -> None:
        assert "continuous batching" in seen.text()
        banks = len(seen.codes)
        await seen.keys("s")
        await seen.pause()
        assert "continuous batching" not in seen.text()
        assert len(seen.codes) > banks

    watch(body, (160, 46))


def test_nothing_moves_under_a_modal() -> None:
    async def body(seen: Seen) -> None:
        await seen.keys("space", "f1")
        assert seen.app.screen is not seen.screen
        before = seen.screen.film.watched
        seen.clock.now += 1
        await seen.pilot.pause(0.1)
        assert seen.screen.film.watched == before

    watch(body)


def test_small_pleasures() -> None:
    async def body(seen: Seen) -> None:
        seen.screen.set_speed(100)
        await seen.pause()
        assert seen.screen.film.ludicrous
        assert "MEMORY APOCALYPSE" in seen.text()
        assert "one wafer" in seen.text()
        await seen.keys("D")
        assert "rows drawn" in seen.text()
        assert "FlashAttention, on" in seen.text()

    watch(body, (160, 46), context="100M", gpu="WSE-3")


KEYS = [
    name for key in keys.MEMORY + keys.APP for name in key.keys.split(",") if key.id not in ("quit", "export", "copy")
]
NAMED = {"/": "slash", "[": "left_square_bracket", "]": "right_square_bracket", "+": "plus", "=": "equals_sign"}
steps = st.one_of(
    st.sampled_from([NAMED.get(name, name) for name in KEYS] + ["escape", "enter", "tab", "a", "1"]),
    st.tuples(st.integers(1, 220), st.integers(1, 70)),
    st.floats(0, 90),
)
EXAMPLES, STEPS = (500, 25) if NIGHTLY else (15, 6)


@settings(max_examples=EXAMPLES)
@given(st.lists(steps, max_size=STEPS))
def test_no_sequence_of_keys_sizes_and_moments_fails(sequence: list[Any]) -> None:
    """Exceptions in the app come out of run_test."""

    async def body(seen: Seen) -> None:
        for step in sequence:
            match step:
                case str():
                    seen.app.simulate_key(step)
                case tuple():
                    await seen.pilot.resize_terminal(*step)
                case float():
                    seen.clock.now += step
                    seen.screen.tick()
        await seen.pause()
        playback = seen.screen.film.playback
        assert 0 <= playback.tokens(seen.clock()) <= playback.limit
        assert seen.screen.picture.allocation.parts.total >= 0

    watch(body)
