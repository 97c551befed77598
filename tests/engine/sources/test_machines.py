"""Profiles of machines: names, files, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import MAX_BYTES
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.sources.machines import load_profile, measured_for, profile_names, save_profile


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))


SIZES = st.none() | st.integers(0, MAX_BYTES)
OF = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=60)


@given(st.builds(Overheads, st.just("rig"), SIZES, SIZES, SIZES, SIZES, st.sampled_from(["vllm", "sglang"]), OF))
def test_what_is_saved_is_loaded(profile: Overheads) -> None:
    path = Path(save_profile(profile))
    assert load_profile("rig") == profile
    assert [file.name for file in path.parent.iterdir()] == ["rig.toml"]


def test_names() -> None:
    assert profile_names() == ()
    for name in ("b-2", "A.1_x"):
        save_profile(Overheads(name, engine="vllm", weights_of="x"))
    assert profile_names() == ("A.1_x", "b-2")
    with pytest.raises(UnknownName, match="did you mean b-2"):
        load_profile("b-3")


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "a" * 65, "a b", "\x1b[31m", "ü", "a\n"])
def test_names_that_are_none(name: str) -> None:
    for use in (load_profile, lambda name: save_profile(Overheads(name, engine="vllm", weights_of="x"))):
        with pytest.raises(InputError, match="is not a name") as caught:
            use(name)
        assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "engine = 3",
        'engine = "nobody"\nweights_of = "x"',
        'engine = "vllm"\nweights_of = "x"\nweights_bytes = -1',
        'engine = "vllm"\nweights_of = "x"\nwieghts_bytes = 1',
        'engine = "vllm"\nweights_of = "x"\nweights_bytes = "many"',
        "a = " + "[" * 3000,
        'engine = "vllm"\nweights_of = "' + "x" * 70_000 + '"',
    ],
)
def test_files_that_are_wrong_are_one_line(text: str, tmp_path: Path) -> None:
    folder = tmp_path / "profiles"
    folder.mkdir()
    (folder / "rig.toml").write_text(text)
    with pytest.raises(InputError, match=r"rig\.toml") as caught:
        load_profile("rig")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("profile", [Overheads("rig", 7, engine="vllm"), Overheads("rig", activation=3)])
def test_a_profile_of_any_weights_or_engine_comes_back(profile: Overheads) -> None:
    save_profile(profile)
    assert load_profile("rig") == profile
    assert measured_for("rig", "vllm") == profile
