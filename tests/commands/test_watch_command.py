"""``kvtui watch`` without a server: recordings, conditions, and what is wrong with either."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import pytest

from kvtui.cli import main
from tests.paths import ROOT

VLLM = str(ROOT / "examples/watch/vllm-preemption.jsonl")
LLAMA = str(ROOT / "examples/watch/llama.cpp-slots.jsonl")


def watch(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    assert main(["watch", *words]) == code
    return capsys.readouterr().out


def test_the_demo_plays_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    lines = watch(capsys, "--demo").splitlines()
    assert len(lines) > 40
    assert any("8 run  12 wait" in line for line in lines)
    assert "cached" in lines[-1]


def test_the_demo_is_planned_by_its_models_name(capsys: pytest.CaptureFixture[str]) -> None:
    (one,) = json.loads(watch(capsys, "--demo", "--once", "--format", "json"))["servers"]
    assert one["plan"]["command_line"].startswith("kvtui --model SmolLM2-135M")
    assert {row["id"]: row["verdict"] for row in one["plan"]["rows"]}["blocks"] == "agrees"
    assert one["interval"]["seconds"] > 40
    assert one["in_time"] == {
        "first_token": None,
        "per_token": None,
        "per_token_is_of_tokens": False,
        "goodput": None,
    }
    assert "first tokens in time" in watch(capsys, "--demo", "--once", "--slo", "ttft=2s,tpot=200ms")


@pytest.mark.parametrize("path", [VLLM, LLAMA])
def test_examples_in_every_format(capsys: pytest.CaptureFixture[str], path: str) -> None:
    text = watch(capsys, path, "--once")
    assert "held by requests" in text
    assert all(len(line) <= 80 for line in text.splitlines())
    assert watch(capsys, path, "--once", "--ascii").isascii()
    assert watch(capsys, path, "--once", "--format", "markdown").startswith("# ")
    rows = list(csv.DictReader(StringIO(watch(capsys, path, "--format", "csv"))))
    moments = [json.loads(line) for line in watch(capsys, path, "--format", "json").splitlines()]
    assert len(rows) == len(moments) > 10
    assert [row["pool.used"] for row in rows] == [str(one["pool"]["used"]) for one in moments]


def test_conditions_are_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    watch(capsys, VLLM, "--check", "kv_used < 90 %", "--check", "preemptions > 5")
    assert main(["watch", VLLM, "--check", "hit_rate > 99 %"]) == 4
    assert "hit_rate > 99 % does not hold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--check", "kv_usd < 3", VLLM], "did you mean kv_used"),
        (["--check", "full", VLLM], "is not a condition"),
        ([VLLM, LLAMA], "played alone"),
        (["--demo", VLLM], "plays a recording of its own"),
        ([VLLM, "--record", "x.jsonl"], "not recorded again"),
        (["no-such.jsonl"], "no-such.jsonl"),
        (["ftp://host"], "is not an address"),
        (["http://user:secret@host", "--once"], "holds no name and password"),
        (["--once", "--format", "html", VLLM], "unknown format"),
        (["--once", "--token", "a b", "http://127.0.0.1:1"], "is no token"),
        (["--save-profile", "a/b", VLLM], "is not a name"),
        (["--save-profile", "here", VLLM], "--model says which it is"),
        (["--speed", "fast", VLLM], "--speed"),
        (["--slo", "ttft=soon", VLLM], "is not an objective"),
        (["prometheus:", "--once"], "is not an address"),
    ],
)
def test_what_is_wrong_is_one_line(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        raise SystemExit(main(["watch", *words]))
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert said in told
    assert "secret" not in told
    assert len(told.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_told_from_one_that_is(capsys: pytest.CaptureFixture[str]) -> None:
    text = watch(capsys, "http://127.0.0.1:1", "--once", code=3)
    assert "silent: nothing listens there" in text


def test_a_profile_is_saved(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--demo", "--save-profile", "demo-machine", "--gpu", "L4"]
    assert main(["watch", *words]) == 0
    assert "saved" in capsys.readouterr().err
    scenario = ["--model", "SmolLM2-135M", "--gpu", "L4", "--engine", "vllm@0.32", "--profile", "demo-machine"]
    assert main(["--report", "json", *scenario]) == 0


@pytest.mark.parametrize("form", ["text", "markdown", "html", "csv"])
def test_a_report_has_a_section_of_what_was_observed(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", form, "--observed", "demo"]) == 0
    assert "tokens planned" in (text := " ".join(capsys.readouterr().out.split())) or "observed.kv_used" in text


def test_a_report_of_a_server_is_the_plan_of_that_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "json", "--observed", "demo"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["engine"]["blocks"] == 97
    assert (found["observed"]["pool"]["size"], found["observed"]["engine"]) == (96, "vllm")
    with pytest.raises(SystemExit, match="2"):
        raise SystemExit(main(["--report", "--observed", "http://127.0.0.1:1"]))
    assert "nothing listens there" in capsys.readouterr().err
