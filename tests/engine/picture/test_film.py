"""The film: where it is at any time, and that no change but one of position makes it jump."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS, format_tokens, parse_tokens
from kvtui.engine.picture.film import (
    BATCHES,
    CONTEXT_PRESETS,
    SPEEDS,
    Playback,
    faster,
    next_batch,
    next_context,
    previous_batch,
    previous_context,
    slower,
)

PRESETS = "4K 8K 16K 32K 64K 100K 128K 200K 256K 512K 1M 2M 10M 100M"

limits = st.integers(1, MAX_TOKENS) | st.sampled_from(CONTEXT_PRESETS)
times = st.floats(0, 1e6)


@st.composite
def playbacks(draw: st.DrawFn) -> tuple[Playback, float]:
    """A playback and a time at or after its anchor."""
    limit, start = draw(limits), draw(times)
    film = Playback(limit, draw(st.sampled_from(SPEEDS)), draw(st.booleans()), start, draw(st.floats(0, limit)))
    return film, start + draw(st.floats(0, 1e4))


@given(playbacks(), st.sampled_from(SPEEDS))
def test_no_change_of_pace_moves_the_position(case: tuple[Playback, float], speed: float) -> None:
    film, now = case
    at_end = not film.playing and film.position(now) == film.limit
    for changed in (film.with_speed(now, speed), *(() if at_end else (film.toggled(now),))):
        assert changed.position(now) == film.position(now)
        assert changed.tokens(now) == film.tokens(now)


@given(playbacks())
def test_the_position_is_always_inside(case: tuple[Playback, float]) -> None:
    film, now = case
    assert 0 <= film.tokens(now) <= film.limit
    assert 0 <= film.fraction(now) <= 1


@given(playbacks(), limits)
def test_another_length_keeps_a_position_that_is_inside_and_an_end(case: tuple[Playback, float], limit: int) -> None:
    film, now = case
    position = film.position(now)
    there = limit if position in (film.limit, float(film.limit)) or position >= limit else position
    assert film.with_limit(now, limit).position(now) == there


@given(playbacks(), st.integers(-3000, 3000))
def test_steps_pause_and_never_wrap(case: tuple[Playback, float], steps: int) -> None:
    film, now = case
    stepped = film.stepped(now, steps)
    assert not stepped.playing
    assert stepped.step % 16 == 0
    wanted = film.tokens(now) + steps * film.step
    assert stepped.tokens(now + 100) == min(max(wanted, 0), film.limit)


@given(playbacks(), st.floats(-1e13, 1e13))
def test_scrubbing_goes_there_and_keeps_playing(case: tuple[Playback, float], tokens: float) -> None:
    film, now = case
    scrubbed = film.scrubbed(now, tokens)
    assert scrubbed.position(now) == min(max(tokens, 0), film.limit)
    assert scrubbed.playing == film.playing
    assert film.restarted(now).tokens(now) == 0


@pytest.mark.parametrize("limit", [1, 4096, 131_072, 100 * 2**20])
@pytest.mark.parametrize("speed", SPEEDS)
def test_a_film_of_any_context_lasts_18_seconds_at_speed_1(limit: int, speed: float) -> None:
    film = Playback(limit, speed, playing=True, anchor_time=5)
    assert film.position(5 + 9 / speed) == pytest.approx(limit / 2)
    assert not film.ended(5 + 17.9 / speed)
    assert film.ended(5 + 18.1 / speed)


def test_paused_stays_and_playing_moves() -> None:
    film = Playback(18_000, anchor_tokens=500)
    assert film.tokens(1000) == 500
    assert film.toggled(10).tokens(13) == 500 + 3000
    assert film.toggled(10).toggled(13).tokens(99) == 3500


def test_it_stops_at_its_end_and_plays_from_the_beginning_again() -> None:
    film = Playback(18_000, playing=True)
    assert (film.tokens(18), film.tokens(1000)) == (18_000, 18_000)
    still = film.scrubbed(20, 18_000, playing=False)
    assert not still.ended(99)
    again = still.toggled(30)
    assert (again.playing, again.tokens(30), again.tokens(31)) == (True, 0, 1000)


@given(playbacks(), st.floats(0, 0.99))
def test_playing_goes_on_at_the_rate_until_the_end(case: tuple[Playback, float], share: float) -> None:
    film = replace(case[0], playing=True)
    begin = film.anchor_time
    end = begin + share * (film.limit - film.anchor_tokens) / film.rate
    clock = float(Fraction(end) - Fraction(begin))
    moved = film.position(end) - film.position(begin)
    assert moved == pytest.approx(film.rate * clock, rel=1e-9, abs=1e-12 * film.limit)
    assert film.position(end) <= film.limit


@pytest.mark.parametrize(("limit", "step"), [(16, 16), (4096, 16), (8000, 16), (131_072, 256), (2**20, 2096)])
def test_a_step_is_a_block_or_a_500th_in_whole_blocks(limit: int, step: int) -> None:
    assert Playback(limit).step == step


def test_presets_are_what_people_type() -> None:
    assert tuple(parse_tokens(word) for word in PRESETS.split()) == CONTEXT_PRESETS
    assert " ".join(format_tokens(tokens) for tokens in CONTEXT_PRESETS) == PRESETS
    assert tuple(2**n for n in range(8)) == BATCHES


def test_speeds_and_presets_step_through_all() -> None:
    speed, seen = 0.5, [0.5]
    while faster(speed) != speed:
        speed = faster(speed)
        seen.append(speed)
    assert tuple(seen) == SPEEDS == (0.5, 1, 2, 5, 10, 20, 50, 100)
    assert [slower(s) for s in SPEEDS] == [0.5, 0.5, 1, 2, 5, 10, 20, 50]
    assert (faster(3), slower(3), faster(400), slower(0.1)) == (5, 2, 400, 0.1)


@pytest.mark.parametrize(
    ("forward", "back", "values"),
    [(next_context, previous_context, CONTEXT_PRESETS), (next_batch, previous_batch, BATCHES)],
)
def test_presets_stop_at_their_ends(
    forward: Callable[[int], int], back: Callable[[int], int], values: tuple[int, ...]
) -> None:
    for before, after in pairwise(values):
        assert forward(before) == after
        assert back(after) == before
    assert forward(values[-1]) == values[-1]
    assert back(values[0]) == values[0]
    assert back(values[2] + 1) == values[2]
    assert forward(values[2] + 1) == values[3]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"limit": 0}, r"^context: 0 is out of range"),
        ({"limit": 2**41}, r"^context: 2,199,023,255,552 is out of range"),
        ({"limit": 10, "speed": 0.0}, r"^speed: 0 is out of range"),
        ({"limit": 10, "speed": float("nan")}, r"^speed: nan is out of range"),
        ({"limit": 10, "anchor_tokens": 11.0}, r"^tokens: 11 is out of range \(0 to 10\)"),
    ],
)
def test_films_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Playback(**fields)
