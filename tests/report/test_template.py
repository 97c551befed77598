"""What ``--template`` prints is a file of one's own that works as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.report.template import template


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", ["Llama-2-7B", "gemma-3-27b", "DeepSeek-V3.2", "Nemotron-H-8B", "whisper-large-v3"])
def test_a_model_s_entry_is_that_model_under_a_new_name(folder: Path, name: str) -> None:
    (folder / "models.toml").write_text(template("models", name), encoding="utf-8")
    mine, theirs = find_model(f"my-{name}"), find_model(name)
    assert mine == theirs._replace(name=f"my-{name}", aliases=())


def test_a_device_s_entry_is_that_device_under_a_new_name(folder: Path) -> None:
    (folder / "devices.toml").write_text(template("devices", "h100 sxm"), encoding="utf-8")
    assert find_device("my-H100 SXM").usable_bytes == find_device("H100 SXM").usable_bytes


def test_without_a_name_it_is_the_first_entry_with_what_the_keys_mean(folder: Path) -> None:
    for kind, first in (("models", all_models()[0].name), ("devices", all_devices()[0].name)):
        text = template(kind, None)
        assert f'name = "my-{first}"' in text
        assert text.startswith("# ")
        (folder / f"{kind}.toml").write_text(text, encoding="utf-8")
    assert find_model(f"my-{all_models()[0].name}").layers


def test_a_model_that_is_not_in_the_packaged_file(folder: Path) -> None:
    (folder / "models.toml").write_text(template("models", None), encoding="utf-8")
    with pytest.raises(UnknownName, match="packaged"):
        template("models", f"my-{all_models()[0].name}")
    with pytest.raises(UnknownName):
        template("models", "no such model at all")
