"""Preferences: who wins over whom, what is refused and in which words, and a file that keeps its comments."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.state import keys, settings
from kvtui.state.settings import Settings, load, save

THEMES = ("kvtui-dark", "kvtui-light", "nord")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path / "config"))
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "config.toml"


def test_defaults(file: Path) -> None:
    assert load({}, THEMES, {}) == Settings()
    assert Settings().theme == "kvtui-dark"
    assert Settings().fps == 20


def test_flags_over_environment_over_file_over_default(file: Path) -> None:
    assert load({}, THEMES, {"SSH_TTY": "/dev/pts/1"}).fps == 10
    file.write_text('fps = 30\ntheme = "nord"\nmotion = "reduced"\nascii = true\npalette = "ansi"\nremember = false\n')
    found = load({}, THEMES, {"SSH_CONNECTION": "x"})
    assert found == Settings("nord", "reduced", 30, True, "ansi", False)
    environ = {"KVTUI_FPS": "5", "KVTUI_THEME": "kvtui-light", "KVTUI_MOTION": "none", "NO_COLOR": "1"}
    found = load({}, THEMES, environ)
    assert found == Settings("kvtui-light", "none", 5, True, "mono", False)
    found = load({"fps": "0", "theme": "kvtui-dark", "motion": "full"}, THEMES, environ)
    assert (found.fps, found.theme, found.motion) == (0, "kvtui-dark", "full")


def test_empty_variables_do_not_count(file: Path) -> None:
    assert load({}, THEMES, {"NO_COLOR": "", "KVTUI_FPS": "", "SSH_TTY": ""}) == Settings()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('thme = "nord"', ("thme", "theme")),
        ('theme = "norf"', ("theme", "nord")),
        ("fps = 61", ("fps", "60")),
        ('fps = "20"', ("fps", "whole number")),
        ("fps = true", ("fps",)),
        ('motion = "slow"', ("motion", "reduced")),
        ("ascii = 1", ("ascii",)),
        ('palette = "rainbow"', ("palette", "mono")),
        ("keymap = 3", ("keymap",)),
        ("[keymap]\ncoppy = 'c'", ("coppy", "copy")),
        ("[keymap]\ncopy = 'a b'", ("copy", "a b")),
        ("[keymap]\ncopy = ','", ("copy",)),
        ("remember = 'no'", ("remember",)),
        ("pixels = 'svg'", ("pixels", "kitty")),
        ("[keymap]\nwindow-close = 'q'", ("window-close", "'q' would be typed")),
        ("[keymap]\nlist-up = 'f5'\nlist-down = 'f5'", ("f5", "list-up")),
        ("[keymap]\ncopy = 'x'", ("copy", "export")),
        ("[keymap]\ncopy = 'question_mark'", ("copy", "help")),
        ("[keymap]\ncopy = 'f5'\nhelp = 'f5'", ("f5",)),
        ("fps = 3\ntheme = \n", ("line 2",)),
        ("theme = '\\x1b[31m'", ("theme",)),
    ],
)
def test_wrong_files_are_one_line_that_names_the_file(file: Path, text: str, expected: tuple[str, ...]) -> None:
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load({}, THEMES, {})
    message = str(caught.value)
    assert message.isprintable()
    for part in (str(file), *expected):
        assert part in message


def test_files_that_are_no_files(file: Path) -> None:
    for data in (b"\xff\xfe", b"#" * (2**20 + 1)):
        file.write_bytes(data)
        with pytest.raises(InputError, match=r"config\.toml"):
            load({}, THEMES, {})
    file.unlink()
    file.mkdir()
    with pytest.raises(InputError, match=r"config\.toml"):
        load({}, THEMES, {})


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        ({"fps": "-1"}, {}, ("--fps", "60")),
        ({"fps": "٣"}, {}, ("--fps",)),
        ({"theme": "norf"}, {}, ("--theme", "nord")),
        ({"motion": "x"}, {}, ("--motion", "full")),
        ({}, {"KVTUI_FPS": "x"}, ("KVTUI_FPS", "60")),
        ({}, {"KVTUI_THEME": "\x1b[2J"}, ("KVTUI_THEME",)),
        ({}, {"KVTUI_MOTION": "off"}, ("KVTUI_MOTION", "none")),
        ({"pixels": "ascii"}, {}, ("--pixels", "sixel")),
        ({}, {"KVTUI_PIXELS": "\x1b_G"}, ("KVTUI_PIXELS", "kitty")),
    ],
)
def test_wrong_flags_and_variables_name_themselves(
    file: Path, flags: dict[str, str], environ: dict[str, str], expected: tuple[str, ...]
) -> None:
    with pytest.raises(InputError) as caught:
        load(flags, THEMES, environ)
    assert str(caught.value).isprintable()
    for part in expected:
        assert part in str(caught.value)


def test_a_keymap(file: Path) -> None:
    file.write_text("[keymap]\ncopy = 'f5, ctrl+y'\nexport = 'y'\n")
    assert dict(load({}, THEMES, {}).keymap) == {"copy": "f5, ctrl+y", "export": "y"}


def test_a_key_may_mean_one_thing_on_a_screen_and_another_in_a_window(file: Path) -> None:
    file.write_text("[keymap]\nlist-up = 'ctrl+k'\nmodel = 'ctrl+k'\n")
    assert dict(load({}, THEMES, {}).keymap) == {"list-up": "ctrl+k", "model": "ctrl+k"}


def test_keys_are_unique_and_have_ids() -> None:
    assert keys.clash({}) is None
    ids = [key.id for key in keys.ALL]
    assert len(ids) == len(set(ids))


def test_saving_keeps_everything_else(file: Path) -> None:
    file.write_text("# mine\nfps = 30  # slow\n\n[keymap]\n# a comment\ncopy = 'f5'\n")
    save("theme", "nord")
    assert file.read_text() == "theme = \"nord\"\n# mine\nfps = 30  # slow\n\n[keymap]\n# a comment\ncopy = 'f5'\n"
    save("theme", "kvtui-light")
    save("theme", "kvtui-dark")
    assert file.read_text().count("theme") == 1
    assert load({}, THEMES, {}).theme == "kvtui-dark"
    assert dict(load({}, THEMES, {}).keymap) == {"copy": "f5"}
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "theme = 'nord'",
        "fps = 10",
        "[keymap]\ntheme = 'f9'",
        '"theme" = "nord"',
        "a = '''\ntheme = 1\n'''\nfps = 3",
        "theme = '''\nnord'''\n",
        "x = [\n[1],\n]\n",
    ],
)
def test_saving_sets_one_key_in_any_file(file: Path, text: str) -> None:
    """Against a real parse of the file before and after."""
    file.write_text(text)
    save("theme", "nord")
    assert tomllib.loads(file.read_text()) == {**tomllib.loads(text), "theme": "nord"}


def test_saving_makes_the_folder_and_never_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path / "new" / "deep"))
    save("theme", "nord")
    assert load({}, THEMES, {}).theme == "nord"
    path = tmp_path / "new" / "deep" / settings.FILE
    path.write_text("not toml")
    with pytest.raises(InputError):
        save("theme", "nord")
    assert path.read_text() == "not toml"
