"""A recorded file is read back as it was written, and a difference is marked on the page that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.looks.checked import RECORDED, check
from tests.looks.frames import Run, read, written
from tests.looks.page import page

DARK = ((Run("a|b", "bold #ffffff on #000000"), Run(" = ", "none")), (), (Run("ü", "dim"),))
LIGHT = ((Run("a|b", "none"), Run(" = ", "#000000")), (), (Run("u", "dim"),))


@pytest.mark.parametrize("path", sorted(RECORDED.iterdir()), ids=lambda path: path.stem)
def test_recorded_files_read_back(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert written(read(text)) == text


def test_any_characters_and_empty_rows_read_back() -> None:
    looks = {"dark": DARK, "light": LIGHT}
    assert read(written(looks)) == looks


def test_what_differs_is_marked_and_nothing_else() -> None:
    shown = page("it", {"dark": DARK, "light": LIGHT}, {"dark": DARK, "light": ((Run("a|b", "none"),), *LIGHT[1:])})
    assert "it, light" in shown
    assert "it, dark" not in shown
    assert shown.count("<mark>") == 1


def test_another_look_fails_with_a_page_that_shows_both(tmp_path: Path) -> None:
    size = (160, 46)
    recorded = read((RECORDED / "leave-160x46.txt").read_text(encoding="utf-8"))
    check("leave", size, recorded, tmp_path, update=False)
    row = recorded["dark"][0]
    changed = {**recorded, "dark": ((Run(row[0].text, "bold #ff0000"), *row[1:]), *recorded["dark"][1:])}
    with pytest.raises(pytest.fail.Exception, match="--update-looks") as failed:
        check("leave", size, changed, tmp_path, update=False)
    assert "bold #ff0000" in str(failed.value)
    assert "<mark>" in (tmp_path / "leave-160x46.html").read_text(encoding="utf-8")
