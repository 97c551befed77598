"""What a terminal sends, as the app hears it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.drivers import linux_driver
from textual.events import Key, Paste
from textual.message import Message

from kvtui.widgets.textual_driver import MOST_PASTED, TerminalAnswer, WholePastes

START, END = "\x1b[200~", "\x1b[201~"


def heard(chunks: Sequence[str]) -> list[Message]:
    """What a parser makes of ``chunks``, and of a while in which nothing comes."""
    parser = WholePastes()
    found = [event for chunk in chunks for event in parser.feed(chunk)]
    return found + list(parser.feed(""))


def texts(events: Sequence[Message]) -> list[str]:
    return [event.text if isinstance(event, Paste) else event.key for event in events if isinstance(event, Key | Paste)]


def test_the_driver_uses_it() -> None:
    assert vars(linux_driver)["XTermParser"] is WholePastes


@pytest.mark.parametrize("inside", ["\x1b[31mred", "\x1b", "a\x1b[", "\x1b]0;owned\x07", "\x1b[Aq", "\x9b1mq"])
def test_a_paste_is_text_and_no_key(inside: str) -> None:
    (paste, key) = heard([f"{START}{inside}{END}q"])
    assert isinstance(paste, Paste)
    assert paste.text == "".join(letter for letter in inside if letter.isprintable())
    assert isinstance(key, Key)
    assert key.key == "q"


@given(st.lists(st.sampled_from(["q", "\x1b[31m", "\n", "\t", "é", "201~", "\x1b[20"]), min_size=1), st.data())
def test_it_does_not_matter_how_it_comes_in_pieces(parts: list[str], data: st.DataObject) -> None:
    whole = f"j{START}{''.join(parts)}.{END}k"
    cuts = sorted(data.draw(st.sets(st.integers(8, len(whole) - 1), max_size=6)))  # a mark that begins is one piece
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert texts(heard(chunks)) == texts(heard([whole]))
    assert texts(heard(chunks))[0::2] == ["j", "k"]


def test_a_paste_that_never_ends_keeps_a_part_of_it() -> None:
    chunks = [START, *["x" * 4096] * 100, END]
    assert texts(heard(chunks)) == ["x" * MOST_PASTED]


ANSWERS = ["\x1b_Gi=31;OK\x1b\\", "\x1bP>|kitty(0.32.0)\x1b\\", "\x1b[6;17;9t", "\x1b[?2;0;1000;1000S", "\x1b[?62;4c"]
KEYS = ["q", "\x1b[A", "\x1b[6~", "\x1b[6;5~", "\x1b[?2026;2$y", f"{START}\x1b[?62;4cp{END}", "é"]


@given(st.lists(st.sampled_from([*ANSWERS, *KEYS]), min_size=1), st.data())
def test_answers_are_no_keys_however_they_come(parts: list[str], data: st.DataObject) -> None:
    """Answers in the middle of what is typed and pasted are heard, and the rest is as without them."""
    whole = "".join(parts)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(whole) - 1)), max_size=4)))
    cuts = [cut for cut in cuts if any(whole[:cut].endswith(a[:n]) for a in ANSWERS for n in range(3, len(a)))]
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = heard(chunks)
    assert [event.text for event in found if isinstance(event, TerminalAnswer)] == [p for p in parts if p in ANSWERS]
    assert texts(found) == texts(heard([part for part in parts if part not in ANSWERS]))


def test_what_is_no_paste_is_as_it_was() -> None:
    assert texts(heard(["a\x1b[Ab"])) == ["a", "up", "b"]
