"""The scenario that the app was left with: the same again at the next start, and never in the way."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.app.app import KvtuiApp
from kvtui.commands.app import opened, reopened
from kvtui.commands.known import CommandLine
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.places import state_dir
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.values import scenario_from
from kvtui.state import remembered
from kvtui.state.session import Session
from kvtui.state.settings import Settings
from tests.screens.seen import text_of
from tests.steady import until


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVTUI_STATE_DIR", str(tmp_path / "deep" / "state"))
    return tmp_path / "deep" / "state"


def values(*words: str) -> dict[str, Any]:
    return vars(CommandLine().read(words))


SCENARIOS: tuple[dict[str, str | bool], ...] = (
    {},
    {
        "model": "Qwen3-Next-80B-A3B",
        "gpu": "T4",
        "tp": "2",
        "kv_dtype": "fp8",
        "context": "1M",
        "batch": "8",
        "cb": True,
    },
    {"fa": False, "skip_weights": True, "lengths": "100,200,300", "kv_pool": "5GiB", "gpu_memory_utilization": "0.9"},
    {"pa": True, "shared_prefix": "64", "block_size": "32", "speculative_tokens": "1", "model": "DeepSeek-V3"},
)


@pytest.mark.parametrize("given_values", SCENARIOS)
def test_what_is_written_gives_the_same_scenario(state: Path, given_values: dict[str, bool | str]) -> None:
    scenario = scenario_from(given_values)
    remembered.write(remembered.options_of(scenario))
    assert scenario_from(remembered.read()) == scenario
    assert [path.name for path in state.iterdir()] == [remembered.FILE]


def test_every_option_is_kept(state: Path) -> None:
    options = {option.key: option.name != "fa" if option.switch else f"{option.name} ä 'x\"" for option in OPTIONS}
    remembered.write(options)
    assert remembered.read() == options


def test_without_a_file_there_is_nothing(state: Path) -> None:
    assert remembered.read() == {}
    assert not state.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model = \n", "Invalid value"),
        ("modle = 'x'\n", "modle: is not a known field; did you mean model?"),
        ("context = 4096\n", "context: must be text, not a number"),
        ("pa = 'yes'\n", "pa: must be true or false"),
        ('model = "\\u001b"\n', "model: has a control character"),
        (b"\xff\xfe", ""),
        (b"#" * (2**20 + 1), "is larger than 1 MiB"),
    ],
)
def test_broken_files_are_one_line_that_names_the_file(state: Path, text: bytes | str, said: str) -> None:
    state.mkdir(parents=True)
    path = state / remembered.FILE
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as caught:
        remembered.read()
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_folder_in_its_place(state: Path) -> None:
    (state / remembered.FILE).mkdir(parents=True)
    with pytest.raises(InputError, match="is not a regular file"):
        remembered.read()


@given(st.binary(max_size=200))
def test_no_file_is_anything_but_options_or_an_input_error(data: bytes) -> None:
    path = Path(state_dir()) / remembered.FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    try:
        found = remembered.read()
    except InputError as error:
        found = {"said": str(error)}
    path.unlink()
    assert all(value.isprintable() for value in found.values() if isinstance(value, str))


def test_only_bare_kvtui_opens_it_again(state: Path) -> None:
    remembered.write({"model": "Qwen3-8B", "context": "4096", "gpu": "T4"})
    scenario, follows, note = reopened(values(), remember=True)
    assert (scenario.model.name, scenario.context, scenario.device.name) == ("Qwen3-8B", 4096, "T4")
    assert (follows, note) == (False, "")
    assert reopened(values(), remember=False)[0].model.name != "Qwen3-8B"
    explicit = opened(values("--gpu", "T4"))[0]
    assert explicit.model.name != "Qwen3-8B"


@pytest.mark.parametrize("text", ["model = 'no such model'\n", "[[\n", "tp = '7'\n", "gpu = 'H1000'\n"])
def test_what_cannot_be_opened_is_left_out_with_a_note(state: Path, text: str) -> None:
    state.mkdir(parents=True)
    (state / remembered.FILE).write_text(text)
    scenario, follows, note = reopened(values(), remember=True)
    assert scenario == opened(values())[0]
    assert follows
    assert note.startswith("the last scenario is left out: ")
    assert note.isprintable()


def test_what_followed_its_device_goes_on_following(state: Path) -> None:
    scenario = opened(values("--gpu", "T4"))[0]
    remembered.write(remembered.options_of(scenario, follows_device=True))
    again, follows, _ = reopened(values(), remember=True)
    assert (again, follows) == (scenario, True)


def test_a_model_from_a_file_is_found_from_any_folder(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = {"model_type": "llama", "vocab_size": 100, "intermediate_size": 128, **shape}
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path / "here")
    scenario = scenario_from({"model": "./config.json"})
    remembered.write(remembered.options_of(scenario))
    monkeypatch.chdir(tmp_path)
    assert scenario_from(remembered.read()).model.layers == scenario.model.layers


def run(app: KvtuiApp, *changes: int) -> None:
    async def script() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            for batch in changes:
                app.session.change(batch=batch)
                await pilot.pause()

    asyncio.run(script())


def test_the_app_remembers_when_it_ends(state: Path) -> None:
    run(KvtuiApp(Session(scenario_from({"gpu": "T4"}))), 3, 5)
    assert scenario_from(remembered.read()).batch == 5
    assert scenario_from(remembered.read()).device == find_device("T4")


def test_the_app_remembers_soon_after_a_change(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kvtui.app.app.KEEP_SECONDS", 0.05)

    async def script() -> None:
        app = KvtuiApp(Session(scenario_from({})))
        async with app.run_test(size=(80, 24)) as pilot:
            app.session.change(batch=7)
            await until(pilot, remembered.read)
            assert remembered.read()["batch"] == "7"

    asyncio.run(script())


def test_the_setting_turns_it_off(state: Path) -> None:
    run(KvtuiApp(Session(scenario_from({})), Settings(remember=False)), 3)
    assert not state.exists()


def test_a_note_is_said_and_a_folder_that_cannot_be_written_does_not_matter(state: Path) -> None:
    state.parent.mkdir(parents=True)
    state.write_text("a file, not a folder")

    async def script() -> None:
        app = KvtuiApp(Session(scenario_from({})), note="the last [red]scenario[/] is left out")
        async with app.run_test(size=(80, 24), notifications=True) as pilot:
            await pilot.pause()
            assert app.said is not None
            assert app.said.text == "the last [red]scenario[/] is left out"
            assert app.said.text in text_of(app)

    asyncio.run(script())
