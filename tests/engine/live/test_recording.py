"""Recordings: what is written is read again, and what is none is an error that names its line."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from kvtui.attach.recorder import Recorder
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.recording import FORMAT, header, line, read_recording
from kvtui.engine.live.snapshot import (
    CachedBlocks,
    DeviceReading,
    LoadedModel,
    ServedSlot,
    ServerPool,
    ServerRank,
    Snapshot,
)
from tests.engine.live.captures import vllm_snapshots
from tests.nightly import NIGHTLY

FULL = Snapshot(
    5.25, "http://x", "asleep", "weights", "llama.cpp", "b1", "m",
    (ServerRank(1, ServerPool("token", 10, 0, 3, 7, 1, 1, 10), 0, 2, {"capacity": 2.0}, 0, {"finished": 0.0},
                gauges={"hit_rate": 0.5}, slots=(ServedSlot(0, 10, 3, "idle"), ServedSlot(1, 10, 0, "prompt", 4, 5, 6)),
                cached_groups=(CachedBlocks(0, "full", 3, 16),)),),
    0, 4, 256, 1.5, 5.0, {"a": "b"}, (LoadedModel("n", None, bytes=7),),
    (DeviceReading("gpu", 10, 0, 0.0, None, 0.5, 7.25),), ("a note",),
)  # fmt: skip


def read(*lines: str) -> list[Snapshot]:
    return list(read_recording([header() + "\n", *lines], "file"))


def test_what_is_written_is_read_again() -> None:
    assert read(line(FULL) + "\n", line(Snapshot(1.0, "x")) + "\n") == [FULL, Snapshot(1.0, "x")]
    lines = [line(snapshot) for _, snapshot in vllm_snapshots()]
    assert [line(one) for one in read(*(f"{text}\n" for text in lines))] == lines


def test_a_recording_is_gone_on_with(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    for number in range(3):
        with Recorder(str(path)) as recorder:
            recorder.add(replace(FULL, time=float(number)))
    with path.open("a") as file:
        file.write('{"time": 9, "addr')
    with path.open() as lines:
        assert [one.time for one in read_recording(lines, "r")] == [0.0, 1.0, 2.0]
    with Recorder(str(path)) as recorder:
        recorder.add(FULL)
    assert path.read_text().count(FORMAT) == 1
    with path.open() as lines, pytest.raises(InputError, match="line 5: is not a JSON object"):
        list(read_recording(lines, "r"))


def test_a_file_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("my notes\n")
    with pytest.raises(InputError, match="is no recording"):
        Recorder(str(path))
    assert path.read_text() == "my notes\n"
    with pytest.raises(InputError, match="--record"):
        Recorder(str(tmp_path))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is no recording"),
        (["{}\n"], "is no recording"),
        (['{"format": "kvtui-recording", "version": 2}\n'], "of version 2"),
        ([header() + "\n", "[1]\n"], "line 2"),
        ([header() + "\n", '{"time": "x", "address": "a"}\n'], "line 2: is no snapshot"),
        ([header() + "\n", '{"time": 1, "address": "a", "state": "well"}\n'], "an unknown state"),
        ([header() + "\n", '{"time": 1, "address": "a", "ranks": [{"pool": {"size": 1.5}}]}\n'], "no whole number"),
    ],
)
def test_what_is_no_recording_is_said_by_line(lines: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        list(read_recording(lines, "file"))


def test_text_in_a_recording_is_made_harmless() -> None:
    hostile = line(FULL).replace('"model":"m"', '"model":"\\u001b[31mred\\u202e"')
    assert read(hostile + "\n")[0].model == "\ufffd[31mred\ufffd"


def test_mutated_lines_are_snapshots_or_errors() -> None:
    chance = random.Random(7)
    texts = [line(FULL), line(vllm_snapshots()[3][1])]
    for _ in range(20_000 if NIGHTLY else 200):
        text = chance.choice(texts)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(text))
            text = (
                text[:place]
                + chance.choice(['"', "{", "]", "-1", "1e999", "null", "[]", "\\", "\x1b"])
                + text[place + 1 :]
            )
        with suppress(InputError):
            for found in read(text + "\n"):
                assert line(found).isprintable()
