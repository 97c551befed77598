"""The film without a terminal: what its keys do to it, and that it is a function of the clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.picture.film import SPEEDS
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.memory.film import REDUCED_STEPS, Film
from kvtui.state.session import Session


class Clock:
    """Seconds that pass only when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def scenario(**values: str) -> Scenario:
    return scenario_from({"model": "Llama-3.1-8B", "context": "128K", **values})


def test_it_begins_at_its_end_and_still() -> None:
    film = Film(scenario(), Clock())
    assert film.tokens == 131_072
    assert not film.playing
    assert not film.over


def test_it_ends_and_says_so_until_something_is_done() -> None:
    clock = Clock()
    film = Film(scenario(), clock)
    assert film.toggle()
    assert film.tokens == 0
    clock.now += 17
    film.tick()
    assert (film.playing, film.over) == (True, False)
    clock.now += 2
    assert film.tick()
    assert (film.playing, film.over, film.tokens) == (False, True, 131_072)
    film.step(-1)
    assert not film.over


def test_playing_is_time_times_rate_and_pausing_keeps_the_place() -> None:
    clock = Clock()
    film = Film(scenario(), clock, speed=1.0)
    film.scrub(1000)
    start = film.tokens
    assert film.toggle()
    clock.now += 2
    assert film.tokens == int(start + 2 * film.playback.rate)
    film.toggle()
    held = film.tokens
    clock.now += 60
    assert film.tokens == held


def test_without_motion_it_is_stepped_alone() -> None:
    film = Film(scenario(), Clock(), motion="none")
    before = film.tokens
    assert not film.toggle()
    assert not film.playing
    film.step(-2)
    assert film.tokens == before - 2 * film.playback.step
    film.restart()
    assert (film.tokens, film.playing) == (0, False)


def test_a_film_that_may_not_move_any_more_stops_where_it_is() -> None:
    clock = Clock()
    film = Film(scenario(), clock)
    film.toggle()
    clock.now += 0.1
    film.set_motion("none")
    held = film.tokens
    clock.now += 10
    assert not film.playing
    assert film.tokens == held > 0


def test_reduced_motion_shows_few_places_while_it_plays_and_every_place_by_hand() -> None:
    clock = Clock()
    film = Film(scenario(), clock, motion="reduced", speed=5.0)
    film.scrub(0)
    film.toggle()
    seen = set()
    for _ in range(2000):
        clock.now += 0.002
        seen.add(film.tokens)
    assert 2 < len(seen) <= REDUCED_STEPS + 1
    film.step(1)
    film.scrub(12_345)
    assert film.tokens == 12_345


def test_ends_and_restart() -> None:
    film = Film(scenario(), Clock())
    film.toggle()
    film.to_end()
    assert (film.tokens, film.fraction, film.playing) == (131_072, 1.0, False)
    film.scrub_to(0.5)
    assert film.tokens == 65_536
    film.restart()
    assert (film.tokens, film.playing) == (0, True)


def test_another_scenario_keeps_the_place_or_the_end() -> None:
    session = Session(scenario())
    film = Film(session.scenario, Clock())
    session.subscribe(film.follow)
    session.change(context=65_536)
    assert film.tokens == 65_536
    film.scrub(4096)
    session.change(batch=4)
    assert film.tokens == 4096
    session.change(context=8192)
    assert (film.tokens, film.playback.limit) == (4096, 8192)
    session.change(context=2048)
    assert film.tokens == 2048
    rate = film.playback.rate
    session.toggle("flash_attention")
    assert film.playback.rate == rate
    film.scrub(1000)
    session.set_text("model", "Qwen3-8B")
    assert film.tokens == 1000
    film.toggle()
    session.set_text("model", "Llama-3.1-8B")
    assert (film.tokens, film.playing) == (0, True)


def test_speeds_in_range_are_taken_others_are_refused() -> None:
    film = Film(scenario(), Clock())
    for speed in SPEEDS:
        film.set_speed(speed)
        assert film.speed == speed
    assert film.ludicrous
    with pytest.raises(InputError):
        film.set_speed(0)
    assert film.speed == SPEEDS[-1]


@given(st.lists(st.floats(0, 5), max_size=40))
def test_what_is_watched_is_the_time_between_ticks_but_never_a_gap(gaps: list[float]) -> None:
    clock = Clock()
    film = Film(scenario(), clock)
    film.tick()
    moved = 0
    for gap in gaps:
        clock.now += gap
        moved += film.tick()
    assert film.watched == pytest.approx(sum(min(gap, 0.25) for gap in gaps))
    assert moved <= film.watched * 10 + 1
    film.hold()
    clock.now += 3600
    before = film.watched
    film.tick()
    assert film.watched == before


def test_a_moment_is_due_three_times_a_second_or_when_a_whole_picture_is_wanted() -> None:
    clock = Clock()
    film = Film(scenario(), clock)
    assert film.due(whole=False)
    assert not film.due(whole=False)
    assert film.due(whole=True)
    clock.now += 0.4
    assert film.due(whole=False)
