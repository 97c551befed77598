"""The film of a replay as a person meets it: two policies side by side, stepped, played, and read."""

from __future__ import annotations

import asyncio
from array import array

import pytest

from kvtui.app.app import KvtuiApp
from kvtui.canvas.blocks import BlockRun
from kvtui.cli import main
from kvtui.engine.basis.errors import InputError
from kvtui.engine.replay.filmed import BESIDE, film_of
from kvtui.engine.replay.history import HeldBlocks, Phase
from kvtui.engine.replay.traces import Trace, read_trace
from kvtui.engine.scenario.values import scenario_from
from kvtui.screens.traffic.film import FilmScreen
from kvtui.screens.traffic.film_picture import alive, board_picture, picture_of
from kvtui.screens.traffic.film_state import FilmState
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.paths import ROOT
from tests.screens.seen import said_by, text_of
from tests.steady import until

VALUES = {"engine": "vllm", "model": "Llama-3.1-8B", "gpu": "L40S", "context": "512", "kv_pool": "128MiB"}


def crowded_trace() -> Trace:
    path = ROOT / "tests" / "data" / "replay" / "synth_trace_160.jsonl"
    with path.open(encoding="utf-8") as lines:
        trace = read_trace(lines, path.name)
    requests = trace.requests[:60].faster(30)
    return trace._replace(requests=requests, span=requests.span)


def test_a_film_of_two_policies_is_stepped_played_and_read() -> None:
    async def body() -> None:
        film = film_of(crowded_trace().requests, "synth", scenario_from(VALUES), BESIDE, "synth --rate 30")
        session = Session(scenario_from(VALUES))
        app = KvtuiApp(session, Settings(remember=False, motion="none"), film=film)
        async with app.run_test(size=(120, 36)) as pilot:
            screen = app.screen
            assert isinstance(screen, FilmScreen)
            screen.clock = lambda: 0.0
            screen._ticked = 0.0
            await until(pilot, lambda: screen.whole)
            await pilot.press("space", "home")
            shared, paged = (side.history for side in film.sides)
            assert len(shared.requests) == len(paged.requests) == 60
            assert f"step 1 of {shared.steps:,}" in text_of(app)
            assert not screen.state.playing

            put_out = shared.next_preemption(0)
            assert put_out is not None
            await pilot.press("p")
            await pilot.pause()
            assert shared.at(screen.state.at) == put_out
            text = text_of(app)
            assert f"put out {len(shared.step(put_out).preempted)}" in text
            assert f"{shared.step(put_out).used} of 63 used" in text
            # The other policy is shown at the same instant, not at the same number of a step.
            assert f"{paged.step(paged.at(screen.state.at)).used} of 63 used" in text
            red = [run for run in board_picture(shared, screen.state, 1).runs if run.owner == "out"]
            lost = {block for one in shared.step(put_out).preempted for block in shared.page_table(one, put_out - 1)[0]}
            assert sum(run.blocks for run in red) == len(lost) > 0
            await pilot.press("right")
            red = [run for run in board_picture(shared, screen.state, 1).runs if run.owner == "out"]
            assert bool(red) == bool(shared.step(put_out + 1).preempted)
            await pilot.press("v")
            assert shared.step(shared.at(screen.state.at)).evicted

            await pilot.press("h")
            assert "choose a request first" in said_by(app)
            await pilot.press("j", "l", "l")
            await pilot.pause()
            number = shared.at(screen.state.at)
            chosen = screen.state.request
            assert chosen == alive(shared, number)[0]
            table = shared.page_table(chosen, number)[0]
            text = text_of(app)
            assert f"page table of #{chosen}" in text
            assert f"1→{table[1]}" in text
            assert f"block {table[1]}" in text
            await pilot.press("tab", "escape", "escape")
            assert (screen.state.side, screen.state.request) == (1, None)

            await pilot.press("question_mark")
            await pilot.pause()
            assert "play, or stop at this step" in text_of(app)
            assert "the next server" not in text_of(app)
            await pilot.press("escape")
            assert screen.command.startswith("kvtui replay synth --rate 30 --model Llama-3.1-8B")
            assert screen.command.endswith(" --compare prefix,paged --play")

            await pilot.press("home", "right_square_bracket", "space")
            screen.clock = lambda: 0.25
            await until(pilot, lambda: screen.state.at == 0.5)
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            assert "vllm, paged" in text_of(app)
            assert "prefixes shared" not in text_of(app)
            await pilot.press("end")
            last = max(shared.step(shared.steps - 1).start, paged.step(paged.steps - 1).start)
            assert screen.state.at == last
            assert all(one.phase is not Phase.WAITING for one in paged.states(paged.steps - 1))

    asyncio.run(body())


def test_each_replica_has_its_share_of_the_requests() -> None:
    async def body() -> None:
        scenario = scenario_from({**VALUES, "gpus": "2", "dp": "2", "batch": "2"})
        film = film_of(crowded_trace().requests[:21], "synth", scenario, ["prefix"], "synth")
        app = KvtuiApp(Session(scenario), Settings(remember=False, motion="none"), film=film)
        async with app.run_test(size=(120, 36)) as pilot:
            screen = app.screen
            assert isinstance(screen, FilmScreen)
            for replica, requests in ((1, 11), (2, 10), (1, 11)):
                await until(pilot, lambda: screen.whole)
                assert f"replica {replica} of 2" in text_of(app)
                assert len(screen.side.history.requests) == requests
                await pilot.press("r")

    asyncio.run(body())


def test_a_board_has_every_block_once() -> None:
    held = HeldBlocks(array("i", [0, 1, 1, 2, 2, 0, 3]), array("i", [0, 1, 1, 3, 0, 0, 1]))
    assert picture_of(held, 1).runs == (
        BlockRun("request", 2, 1),
        BlockRun("shared", 1, 2),
        BlockRun("left", 1, 2),
        BlockRun("empty", 1),
        BlockRun("request", 1, 3),
    )
    marked = picture_of(held, 1, evicted=[6], put_out=[3, 0], chosen=[1])
    assert [run.owner for run in marked.runs] == ["chosen", "request", "out", "left", "empty", "lost"]
    banks = picture_of(held, 4, evicted=[2])
    assert banks.runs == (BlockRun("lost", 4), BlockRun("request", 2, 3))
    assert banks.counts == {
        **dict.fromkeys(banks.counts or (), 0),
        "request": 2,
        "shared": 1,
        "left": 1,
        "empty": 1,
        "lost": 1,
    }


def test_a_film_waits_for_its_replay_and_begins_again_at_its_end() -> None:
    state = FilmState(at=1.0, speed=2.0)
    assert state.advanced(1.0, 2.5, whole=False) == FilmState(at=2.5, was=1.0, speed=2.0)
    ended = state.advanced(1.0, 2.5, whole=True)
    assert (ended.at, ended.playing) == (2.5, False)
    assert ended.held(2.5).at == 0.0
    assert state.held(2.5).at == 1.0


def test_more_than_two_policies_are_not_shown() -> None:
    with pytest.raises(InputError, match="2 are shown side by side, not 3"):
        film_of(crowded_trace().requests, "synth", scenario_from(VALUES), ("static", "paged", "prefix"), "synth")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (str(ROOT / "tests/data/replay/vllm_o1_share_preempt.json"), "not a recorded scenario"),
        ("synthetic:requests=2,seed=1", "needs a scenario"),
        ("synthetic:requests=2,seed=1 --model Llama-3.1-8B --gpu L40S --slo ttft=1s", "goes with no --slo"),
        ("synthetic:requests=2,seed=1 --model Llama-3.1-8B --gpu L40S", "not a terminal"),
    ],
)
def test_what_cannot_be_played_is_said(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["replay", *words.split(), "--play"])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
