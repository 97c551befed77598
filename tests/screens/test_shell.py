"""The app around the Memory screen: pickers, prompts, help, export, palette, themes and keys, in real screens."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from functools import partial
from operator import attrgetter
from pathlib import Path

import pytest
from textual.command import Hit
from textual.keys import format_key
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, OptionList, Static

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.planning.plan import plan
from kvtui.engine.saying.papers import all_papers
from kvtui.engine.scenario.options import OPTIONS, Option
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.sources.load import load_model
from kvtui.report.listings import format_sizes
from kvtui.screens.papers.screen import PapersScreen
from kvtui.screens.windows.explain import ExplainScreen
from kvtui.screens.windows.export import FORMS, ExportScreen, default_name
from kvtui.screens.windows.help import HelpScreen
from kvtui.screens.windows.option_values import values_of
from kvtui.screens.windows.palette import Commands, Palette
from kvtui.screens.windows.pickers import DevicePicker, ModelPicker
from kvtui.screens.windows.prompt import PromptScreen
from kvtui.state import keys
from kvtui.state.session import Session
from kvtui.state.settings import Settings, load
from kvtui.state.themes import theme_names
from tests.nightly import NIGHTLY, nightly, sampled
from tests.screens.seen import said_by, text_of
from tests.screens.stand_in import ShellApp, StandIn
from tests.steady import until

SIZES = [(80, 24), (120, 36)]
THEMES = theme_names() if NIGHTLY else ("kvtui-light", "kvtui-dark", "ansi-light", "nord")

Script = Callable[[ShellApp, Pilot[None]], Awaitable[None]]


def drive(script: Script, size: tuple[int, int] = (120, 36), settings: Settings | None = None, **values: str) -> None:
    """Run ``script`` against an app of that size; a crash of the app fails the test."""

    async def run() -> None:
        app = ShellApp(Session(scenario_from(values)), settings)
        async with app.run_test(size=size, notifications=True) as pilot:
            await pilot.pause()
            await script(app, pilot)

    asyncio.run(run())


async def press(app: ShellApp, pilot: Pilot[None], *names: str) -> None:
    for name in names:
        app.simulate_key(name)
    await pilot.pause()


async def type_text(app: ShellApp, pilot: Pilot[None], text: str) -> None:
    app.screen.query_one(Input).value = text
    await pilot.pause()


def test_every_screen_opens_and_closes() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        home = app.screen
        for key in ("m", "g", "w", "K", "c", "b", "n", "f", "e", "x", "slash", "f1", "6", "ctrl+p", "colon"):
            await press(app, pilot, key)
            assert app.screen is not home
            bound = {active.binding.id for active in app.screen.active_bindings.values()}
            assert bound >= {key.id for key in (keys.PAPERS if key == "6" else keys.WINDOW)}
            await press(app, pilot, "escape")
            await until(pilot, lambda: app.screen is home)

    drive(script)


@pytest.mark.parametrize("opener", ["m", "x", "ctrl+p"])
@sampled(3)
def test_no_width_is_too_small(opener: str) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, opener)
        window = app.screen
        for width in range(1, 24):
            await pilot.resize_terminal(width, 24)
        await pilot.resize_terminal(80, 24)
        assert app.screen is window

    drive(script, (80, 24))


@nightly
def test_no_size_is_too_small() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        for key in ("m", "e", "x", "6"):
            await press(app, pilot, key)
            for width, height in ((20, 5), (1, 1), (80, 24)):
                await pilot.resize_terminal(width, height)
            await press(app, pilot, "escape")

    drive(script, (80, 24))


@pytest.mark.parametrize("size", SIZES)
@sampled(2)
def test_the_model_picker_searches_moves_and_takes(size: tuple[int, int]) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "m")
        picker = app.screen
        assert isinstance(picker, ModelPicker)
        table = picker.query_one(DataTable)
        await until(pilot, lambda: table.row_count == len(all_models()))
        assert table.get_row_at(table.cursor_row)[0].plain == "Llama-3.1-8B"
        await type_text(app, pilot, "qwen3 8b")
        await until(pilot, lambda: table.row_count < 10)
        names = [table.get_row_at(row)[0].plain for row in range(table.row_count)]
        assert names == [name for name in names if "qwen3" in name.lower() and "8b" in name.lower()]
        await type_text(app, pilot, "qwen3-")
        first = table.get_row_at(0)[0].plain
        await press(app, pilot, "down", "down", "up")
        second = table.get_row_at(table.cursor_row)[0].plain
        assert second != first
        await press(app, pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StandIn))
        assert app.session.scenario.model.name == second

    drive(script, size)


def test_the_fits_column_is_the_plan() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "g")
        table = app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count == len(all_devices()))
        await until(pilot, lambda: table.get_row_at(table.row_count - 1)[-1].plain != "…")
        for row, device in enumerate(all_devices()):
            expected = plan(scenario_from({"gpu": device.name, "batch": "4", "context": "64K"}))
            text = table.get_row_at(row)[-1].plain
            assert text.endswith("full") == expected.fits
            if not expected.fits and expected.devices_needed is not None:
                assert text == f"needs {expected.devices_needed:,}"
        assert app.session.scenario.device.name == "H100 SXM"

    drive(script, batch="4", context="64K")


def test_the_device_picker_finds_by_vendor_and_closes_without_a_change() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        before = app.session.scenario
        await press(app, pilot, "g")
        assert isinstance(app.screen, DevicePicker)
        table = app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count)
        await type_text(app, pilot, "apple m4")
        names = {table.get_row_at(row)[0].plain for row in range(table.row_count)}
        assert names == {device.name for device in all_devices() if device.name.startswith("Apple M4")}
        await type_text(app, pilot, "nothing like this")
        assert table.row_count == 0
        await press(app, pilot, "down", "pageup", "enter")
        assert "nothing of that name" in text_of(app)
        await press(app, pilot, "escape")
        assert app.session.scenario is before

    drive(script)


def test_the_weight_picker_shows_the_size_of_every_format() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "w")
        table = app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count == len(format_sizes(app.session.scenario.model)))
        await type_text(app, pilot, "ud-q4_k_xl")
        name, file, least, bits, risk, _ = (cell.plain for cell in table.get_row_at(0))
        assert (name, file, least, risk) == ("ud-q4_k_xl", "822.32 MiB", "700.27 MiB", "low to medium")
        assert float(bits) > 5
        assert "the most is planned" in text_of(app)
        await press(app, pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StandIn))
        assert (app.session.scenario.weight_dtype, app.session.scenario.kv_dtype) == ("ud-q4_k_xl", "bf16")

    drive(script, model="Llama-3.2-1B", gpu="RTX 4090")


def test_the_cache_picker_lists_what_is_run_first_and_leaves_the_weights_alone() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "K")
        table = app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count > 3 and table.get_row_at(table.row_count - 1)[-1].plain != "…")
        names = [table.get_row_at(row)[0].plain for row in range(table.row_count)]
        assert names.index("fp8") < names.index("nvfp4")
        assert not {"q8_0", "fp8_ds_mla"} & set(names)
        await type_text(app, pilot, "fp8")
        name, token, _, share, risk, fits = (cell.plain for cell in table.get_row_at(0))
        assert (name, token, share, risk) == ("fp8", "65,536 B", "50%", "low")
        assert fits.endswith("full")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: len(table.columns) == 5)
        assert table.get_row_at(0)[0].plain == "fp8"
        await press(app, pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StandIn))
        assert (app.session.scenario.weight_dtype, app.session.scenario.kv_dtype) == ("bf16", "fp8")
        await press(app, pilot, "u")
        assert app.session.scenario.kv_dtype == "bf16"

    drive(script, engine="vllm", gpu="H100 SXM")


def test_a_path_typed_into_the_model_picker(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "num_hidden_layers": 4,
        "hidden_size": 1024,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "intermediate_size": 4096,
        "vocab_size": 32_000,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
    }
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "m")
        await until(pilot, lambda: app.screen.query_one(DataTable).row_count)
        await type_text(app, pilot, str(tmp_path / "no.json"))
        await press(app, pilot, "enter")
        await until(pilot, lambda: "no such file" in text_of(app))
        await type_text(app, pilot, str(path))
        await press(app, pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StandIn))
        assert len(app.session.scenario.model.layers) == 4
        assert app.session.scenario.model_ref == str(path)

    drive(script)


def test_the_context_prompt_says_what_is_wrong_and_takes_what_is_right() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "c")
        assert isinstance(app.screen, PromptScreen)
        await type_text(app, pilot, "1Q")
        assert "'1Q' is not a token count" in text_of(app)
        await press(app, pilot, "enter")
        assert isinstance(app.screen, PromptScreen)
        await type_text(app, pilot, "1M")
        assert "1,048,576 tokens" in text_of(app)
        await press(app, pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, StandIn))
        assert app.session.scenario.context == 2**20

    drive(script)


@pytest.mark.parametrize("width", [100, 120])
def test_no_line_of_the_help_is_broken(width: int) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "question_mark")
        await until(pilot, lambda: "play or pause" in text_of(app))
        lines = [line for line in text_of(app).splitlines() if "│" in line]
        for key in keys.of_screen("memory"):
            assert any(f" {key.text} " in line for line in lines), key.text

    drive(script, (width, 52))


def test_the_page_of_papers_names_every_key_for_a_keymap() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "6")
        text = str(app.screen.query_one("#reading").render())
        for key in keys.ALL:
            assert re.search(rf"{re.escape(key.text)} +{key.id}$", text, re.MULTILINE), key.id
        before = app.screen.query_one("VerticalScroll").scroll_y
        await press(app, pilot, "down", "pagedown")
        assert app.screen.query_one("VerticalScroll").scroll_y == before + 11
        await press(app, pilot, "escape")
        assert isinstance(app.screen, StandIn)

    drive(script, (80, 24))


def test_the_help_lists_every_binding() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "f1")
        assert isinstance(app.screen, HelpScreen)
        text = text_of(app)
        for key in keys.of_screen("memory"):
            assert key.text in text
            for name in keys.keys_of(key, {}):
                assert format_key(name.rpartition("+")[2]) in text

    drive(script, (120, 52))


def test_every_key_of_the_table_is_bound() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        bound = {active.binding.id for active in app.screen.active_bindings.values()}
        assert bound >= {key.id for key in keys.GLOBAL + keys.MEMORY + keys.APP}
        footer = {active.binding.action for active in app.screen.active_bindings.values() if active.binding.show}
        assert footer == {key.action for key in keys.GLOBAL + keys.MEMORY + keys.APP if key.footer}

    drive(script)


def test_keys_inside_windows_can_be_remapped() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        for opener in ("c", "e", "ctrl+p"):
            await press(app, pilot, opener)
            window = app.screen
            assert not isinstance(window, StandIn)
            await press(app, pilot, "escape")
            assert app.screen is window
            await press(app, pilot, "f4")
            await until(pilot, lambda: isinstance(app.screen, StandIn))
        await press(app, pilot, "m")
        assert "f4 close" in text_of(app)
        table = app.screen.query_one(DataTable)
        await until(pilot, lambda: table.row_count)
        row = table.cursor_row
        await press(app, pilot, "f3", "f3", "up")
        assert table.cursor_row == row + 1
        await press(app, pilot, "f4", "f9")
        assert isinstance(app.screen, HelpScreen)
        await press(app, pilot, "f9")
        assert isinstance(app.screen, StandIn)

    drive(script, settings=Settings(keymap={"window-close": "f4", "list-down": "f3", "help": "f9"}))


def test_explanations_open_at_the_number_asked_about() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        app.push_screen(ExplainScreen(app.session, "max_context"))
        await pilot.pause()
        await pilot.pause()
        assert "max context" in text_of(app)
        app.pop_screen()
        await press(app, pilot, "e")
        text = text_of(app)
        assert "weights" in text
        assert f"{app.session.plan.total.weights:,} B" in text
        assert "max context" not in text

    drive(script, (100, 24))


def test_a_scenario_that_changes_while_the_explanations_open() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        class Late(ExplainScreen):
            def on_mount(self) -> None:
                app.session.set_text("model", "Qwen3-Next-80B-A3B")

        app.push_screen(Late(app.session, "max_context"))
        await pilot.pause()
        assert "max context" in text_of(app)

    drive(script, (100, 24))


def test_export_writes_every_kind_of_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        for number, form in enumerate(FORMS):
            await press(app, pilot, "x")
            assert isinstance(app.screen, ExportScreen)
            await press(app, pilot, *["down"] * number)
            await press(app, pilot, "enter")
            path = tmp_path / default_name(app.session.scenario, form.ending)
            written = path.read_bytes()
            if form.ending.endswith("png"):
                assert written.startswith(b"\x89PNG")
                continue
            text = written.decode()
            match form.ending:
                case "svg":
                    assert "a&#160;stand-in" in text
                    assert "picture&#160;of&#160;the&#160;screen" not in text
                case "json":
                    assert json.loads(text)["memory"]["weights_bytes"] == app.session.plan.total.weights
                case _:
                    assert "Llama-3.1-8B" in text
            assert str(path) in said_by(app)
        assert len(list(tmp_path.iterdir())) == len(FORMS)

    drive(script)


def test_export_asks_before_it_replaces_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / default_name(scenario_from({}), "svg")
    path.write_text("mine")

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "x")
        await press(app, pilot, "enter")
        assert path.read_text() == "mine"
        assert "exists" in text_of(app)
        await type_text(app, pilot, "other/place.svg")
        await press(app, pilot, "enter")
        assert "not saved" in text_of(app)
        await type_text(app, pilot, path.name)
        await press(app, pilot, "enter")
        assert path.read_text() == "mine"
        await press(app, pilot, "enter")
        assert path.read_text().startswith("<svg")

    drive(script)


def test_copy_shows_and_copies_a_command_that_gives_the_scenario() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "B", "v", "y")
        import shlex

        from kvtui.commands.known import CommandLine

        assert app.clipboard in said_by(app)
        program, *words = shlex.split(app.clipboard)
        assert program == "kvtui"
        assert scenario_from(vars(CommandLine().read(words))) == app.session.scenario

    drive(script, batch="3", context="100000", model="Qwen3-8B")


def test_scenario_keys() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        session = app.session
        await press(app, pilot, "full_stop", "plus", "v", "B", "P", "F", "W")
        found = session.scenario
        assert (found.batch, found.context, found.layout.devices) == (2, 16_384, 2)
        assert (found.continuous_batching, found.paged_attention, found.flash_attention) == (True, True, False)
        assert found.skip_weights
        await press(app, pilot, "comma", "minus", "V", "B", "P", "F", "W")
        assert session.scenario == scenario_from({})

    drive(script)


def test_what_gives_way_is_said() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        app.session.set_text("model", "Qwen2.5-7B")
        await pilot.pause()
        assert "tp 4 × pp 2" in said_by(app)

    drive(script, tp="8")


def test_playback_keys_reach_the_screen() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "space", "right", "shift+left")
        assert isinstance(app.screen, StandIn)
        assert app.screen.asked == ["play", 1, -10]

    drive(script)


async def command(app: ShellApp, pilot: Pilot[None], text: str) -> None:
    """Type ``text`` into the command palette and take the first line."""
    await press(app, pilot, "ctrl+p")
    await type_text(app, pilot, text)
    await until(pilot, lambda: app.screen.query_one(OptionList).option_count)
    await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 0)
    await press(app, pilot, "enter")
    await until(pilot, lambda: isinstance(app.screen, StandIn))
    await pilot.pause()


def test_the_palette_sets_any_option_by_typing() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        for text, field, expected in (
            ("context 1M", "context", 2**20),
            ("batch 16", "batch", 16),
            ("kv dtype fp8", "kv_dtype", "fp8"),
            ("kv-dtype=q8_0", "kv_dtype", "q8_0"),
            ("fa off", "flash_attention", False),
        ):
            await command(app, pilot, text)
            assert getattr(app.session.scenario, field) == expected
        await command(app, pilot, "context 1Q")
        assert "'1Q' is not a token count" in said_by(app)
        assert app.session.scenario.context == 2**20

    drive(script)


def test_the_palette_completes_the_name_of_any_option() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        def lines() -> list[str]:
            return [str(line.prompt) for line in app.screen.query_one(OptionList).options]

        def offers(option: Option) -> bool:
            word = f"{option.name}: " if option.switch else option.help[:20]
            return any(line.startswith(option.name) and word in line for line in lines())

        await press(app, pilot, "ctrl+p")
        for option in OPTIONS:
            app.screen.query_one(Input).value = option.name
            await until(pilot, partial(offers, option))
        app.screen.query_one(Input).value = "kv-p"
        await until(pilot, lambda: lines() and lines()[0].startswith("kv-pool SIZE"))
        await until(pilot, lambda: app.screen.query_one(OptionList).highlighted == 0)
        await press(app, pilot, "enter")
        await until(pilot, lambda: app.screen.query(Input) and app.screen.query_one(Input).value)
        await pilot.press(*"5GiB")
        assert app.screen.query_one(Input).value == "kv-pool 5GiB"
        await until(pilot, lambda: any("kv-pool: default to" in line for line in lines()))
        await press(app, pilot, "down", "enter")
        await until(pilot, lambda: app.session.scenario.kv_pool == 5 * 2**30)

        await press(app, pilot, "colon")
        await until(
            pilot, lambda: {f"{option.name} " for option in OPTIONS} <= {f"{line.split()[0]} " for line in lines()}
        )
        app.screen.query_one(Input).value = "engine vllm@0.2"
        await until(pilot, lambda: any(line.startswith("engine vllm@0.29") for line in lines()))
        app.screen.query_one(Input).value = "contxt 1M"
        await until(pilot, lambda: lines() and lines()[0].startswith("context 1M"))
        assert "did you mean this?" in lines()[0]

    drive(script)


NUMBERS = ("1", "2", "4", "8", "64", "8GiB")
SAMPLES = {
    "model": ("Llama-3.2-1B", "llama3.1:8b"),
    "gpu": ("H200 SXM", "4090", "2x 3090"),
    "memory": ("64GiB",),
    "lengths": ("100,1K",),
    "acceptance": ("0.8",),
    "what-if": ("mla:512+64",),
    "gpu-memory-utilization": ("0.9",),
    "mamba-cache-dtype": ("bf16",),
    "mamba-ssm-cache-dtype": ("fp32",),
    "all2all-backend": ("naive",),
    "swa-full-tokens-ratio": ("0.5",),
    "mamba-full-memory-ratio": ("0.9",),
    "pp-partition": ("16,16",),
    "override-tensor": ("exps=CPU",),
    "tensor-split": ("3,1",),
    "draft-model": ("Llama-3.2-1B",),
    "cpu-moe": ("all",),
}
"""What people type after options that have no list of values; after all others numbers and sizes."""


def typed_lines(scenario: Scenario) -> list[tuple[str, str]]:
    """A line for every option and value, under all names of the option, and the line that the palette makes of it."""
    found = []
    for option in OPTIONS:
        numbers = (
            ()
            if option.key in ("dtype", "weight_dtype", "kv_dtype", "k_dtype", "v_dtype", "fill", "engine")
            else NUMBERS
        )
        values = SAMPLES.get(
            option.name, ("on", "off") if option.switch else (*numbers, *values_of(option, scenario)[:4])
        )
        for name in (option.name, *option.aliases):
            found += [(f"{name} {value}", f"{option.name} {value}") for value in values]
    return found


def test_enter_takes_the_option_that_was_typed_and_not_what_looks_like_it() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "ctrl+p")
        commands = Commands(app.screen_stack[-2])
        for text, wanted in typed_lines(app.session.scenario):
            found = [hit async for hit in commands.search(text)]
            assert max(found, key=attrgetter("score")).text == wanted
        await press(app, pilot, "escape")
        for text, field, expected in (
            ("users 1", "batch", 1),
            ("users 4", "batch", 4),
            ("ram 64GB", "ram", 64 * 10**9),
        ):
            await command(app, pilot, text)
            assert getattr(app.session.scenario, field) == expected
        await command(app, pilot, "tp 2")
        assert app.session.scenario.layout == (2, 1, 1)
        assert app.session.scenario.device.name == "H100 SXM"

    drive(script)


@pytest.mark.parametrize(
    ("text", "first", "word"),
    [
        ("export", "save the picture or a report", ""),
        ("price", "explain cost", "usd per hour"),
        ("cost", "explain cost", "usd per hour"),
        ("model llama5", "model Llama-3-8B", "did you mean this?"),
        (
            "model llama-3.3-70b, gpu h100 sxm, engine llama.cpp, dtype fp8",
            "model llama-3.3-70b, gpu h100…",
            "has no fp8 cache",
        ),
        ("model llama-3.3", "model Llama-3.1-70B", "did you mean this?"),
        ("gpu mac 64", "gpu Apple M1 Max", "did you mean this?"),
        ("engine vlm", "engine vllm", "did you mean this?"),
    ],
)
def test_the_palette_finds_by_what_people_call_it(text: str, first: str, word: str) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        commands = Commands(app.screen)
        found = [hit async for hit in commands.search(text)]
        best = max(found, key=attrgetter("score"))
        assert isinstance(best, Hit)
        assert best.text == first
        assert word in str(best.match_display).casefold()

    drive(script)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("llama-3.3", "Llama-3.1-70B"),
        ("llama3.3:70b", "Llama-3.1-70B"),
        ("qwen 3 32b", "Qwen3-32B"),
        ("gemma3", "gemma-3-1b"),
    ],
)
def test_the_picker_finds_names_as_a_command_line_does(text: str, first: str) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "m")
        await until(pilot, lambda: app.screen.query_one(DataTable).row_count > 100)
        app.screen.query_one(Input).value = text
        await until(pilot, lambda: 0 < app.screen.query_one(DataTable).row_count < 100)
        table = app.screen.query_one(DataTable)
        assert str(table.get_row_at(table.cursor_row)[0]) == first

    drive(script)


def test_the_palette_has_the_keys_actions_the_catalogues_and_the_film() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await command(app, pilot, "next longer")
        assert app.session.scenario.context == 16_384
        await command(app, pilot, "device H200 SXM")
        assert app.session.scenario.device.name == "H200 SXM"
        await command(app, pilot, "cluster HGX H200")
        assert (app.session.scenario.layout.devices, app.session.scenario.device.name) == (8, "H200 SXM")
        await command(app, pilot, "motion none")
        assert app.settings.motion == "none"
        await command(app, pilot, "tokens 5K")
        await command(app, pilot, "speed 20")
        assert isinstance(app.screen, StandIn)
        assert app.screen.asked == [("tokens", 5120), ("speed", 20.0)]

    drive(script)


def test_the_theme_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        looks = [app.canvas_look]
        assert app.theme == "kvtui-dark"
        await press(app, pilot, "t")
        await until(pilot, (tmp_path / "config.toml").exists)
        assert app.theme == "kvtui-light"
        looks.append(app.canvas_look)
        assert looks == ["dark", "light"]
        app.theme = "nord"
        await until(pilot, lambda: load({}, theme_names(), {}).theme == "nord")

    drive(script)
    assert load({}, theme_names(), {}).theme == "nord"


def test_a_theme_given_by_a_flag_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        assert app.theme == "kvtui-light"
        await press(app, pilot, "m", "escape")

    drive(script, settings=Settings(theme="kvtui-light"))
    assert list(tmp_path.iterdir()) == []


@nightly
def test_every_theme_shows_the_papers_and_a_picker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "6")
        for theme in THEMES:
            app.theme = theme
            await pilot.pause()
            assert app.canvas_look == ("dark" if app.current_theme.dark else "light")
        await press(app, pilot, "1")
        for theme in ("ansi-dark", "nord"):
            app.theme = theme
            await press(app, pilot, "m")
            await until(pilot, lambda: app.screen.query_one(DataTable).row_count)
            await press(app, pilot, "escape")

    drive(script, (80, 24))


def test_no_color_is_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        assert app.canvas_depth == "none"
        for key in ("m", "6"):
            await press(app, pilot, key)
            picture = app.export_screenshot()
            assert "kvtui-dark" not in picture
            colours = {tuple(int(c[i : i + 2], 16) for i in (1, 3, 5)) for c in re.findall(r"#[0-9a-f]{6}", picture)}
            chrome = {(255, 95, 87), (254, 188, 46), (40, 200, 64)}
            assert all(max(c) - min(c) < 12 for c in colours - chrome)
            await press(app, pilot, "escape")

    drive(script)


def test_ascii_is_ascii_everywhere() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        assert app.canvas_ascii
        for key in ("m", "c", "e", "x", "question_mark", "6"):
            await press(app, pilot, key)
            picture = re.sub(r"&#[0-9]+;", " ", app.export_screenshot())
            assert picture.isascii()
            await press(app, pilot, "escape")

    drive(script, settings=Settings(ascii=True))


@pytest.mark.parametrize(("palette", "depth"), [("mono", "none"), ("ansi", "ansi"), ("rgb", "rgb")])
def test_the_palette_setting_is_the_pictures_depth(palette: str, depth: str) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        assert app.canvas_depth == depth

    drive(script, settings=Settings(palette=palette))


def test_a_wafer_looks_like_one() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        assert app.canvas_look == "wafer"

    drive(script, gpu="WSE-2")


def test_keys_can_be_remapped() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "m")
        assert isinstance(app.screen, StandIn)
        await press(app, pilot, "f6")
        assert isinstance(app.screen, ModelPicker)
        await press(app, pilot, "escape")
        await press(app, pilot, "question_mark")
        assert "f6" in text_of(app)
        await press(app, pilot, "escape")
        await press(app, pilot, "ctrl+k")
        assert isinstance(app.screen, Palette)

    drive(script, settings=Settings(keymap={"model": "f6", "palette": "ctrl+k"}))


@pytest.mark.parametrize("size", SIZES)
def test_papers_by_technique_with_those_at_work_marked(size: tuple[int, int]) -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        await press(app, pilot, "6")
        screen = app.screen
        assert isinstance(screen, PapersScreen)
        text = str(screen.query_one("#papers").render())
        for paper in all_papers():
            assert text.count(paper.title) == 1
        assert text.count("at work in this scenario") == len([line for line in text.splitlines() if "at work" in line])
        assert "grouped-query attention  at work" in text
        assert "continuous batching  at work" not in text
        app.session.change(continuous_batching=True)
        await pilot.pause()
        assert "continuous batching  at work" in str(screen.query_one("#papers").render())
        assert "weights of the model" in str(screen.query_one("#reading").render())

    drive(script, size)


def test_a_mode_can_be_clicked() -> None:
    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        line = text_of(app).splitlines()[0]
        await pilot.click("ModeBar", offset=(line.index("Papers"), 0))
        assert isinstance(app.screen, PapersScreen)
        await pilot.click("ModeBar", offset=(line.index("Memory"), 0))
        assert isinstance(app.screen, StandIn)
        await pilot.click("ModeBar", offset=(line.index("palette"), 0))
        assert isinstance(app.screen, Palette)
        await press(app, pilot, "escape")
        await pilot.click("ModeBar", offset=(line.index("q quit"), 0))
        await pilot.pause()
        assert app.return_code == 0

    drive(script)


def test_hostile_names_are_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "[red]x[" / "b"
    folder.mkdir(parents=True)

    def hint(app: ShellApp) -> str:
        return str(app.screen.query_one(".hint", Static).content)

    async def script(app: ShellApp, pilot: Pilot[None]) -> None:
        home = app.screen
        await press(app, pilot, "m")
        await until(pilot, lambda: any(table.row_count for table in app.screen.query(DataTable)))
        for text in ("[red]x[/", "\x1b[31m", "[@click=app.quit]x[/]", str(folder)):
            with pytest.raises(InputError) as wrong:
                load_model(text)
            await type_text(app, pilot, text)
            await press(app, pilot, "enter")

            def refused(said: str = str(wrong.value)) -> bool:
                return hint(app) == said

            await until(pilot, refused)
            assert isinstance(app.screen, ModelPicker)
        await press(app, pilot, "escape")
        await until(pilot, lambda: app.screen is home)
        await press(app, pilot, "x")
        await until(pilot, lambda: app.screen.query(Input))
        for text in ("~nobody/x", "no/such/folder", "\x00", "a" * 5000, "", ".", "/"):
            app.screen.query_one(Input).value = text
            await until(pilot, lambda: hint(app).startswith("in "))
            await press(app, pilot, "enter")
            await until(pilot, lambda: hint(app).startswith(("not saved: ", "give the file a name")))
            assert isinstance(app.screen, ExportScreen)
        app.screen.query_one(Input).value = "[@click=app.quit]x"
        await press(app, pilot, "enter")
        await until(pilot, lambda: "[@click=app.quit]x" in said_by(app))
        assert "[@click=app.quit]x" in {path.name for path in tmp_path.iterdir()}

    drive(script)


def test_quitting_ends_with_zero() -> None:
    async def run() -> int | None:
        app = ShellApp(Session(scenario_from({})))
        async with app.run_test() as pilot:
            app.simulate_key("q")
            await pilot.pause()
        return app.return_code

    assert asyncio.run(run()) == 0


def test_styles_come_with_the_package() -> None:
    assert Path(ShellApp.CSS_PATH).is_file()
