"""``kvtui reconcile`` as a user meets it: files, standard input, overrides, profiles, errors of one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kvtui.cli import main
from tests.paths import LOGS

MTP = str(LOGS / "vllm-0.22-qwen3.6-27b-fp8-tp2-mtp.log")
SERVE, LLAMA = "vllm" + " serve", "llama" + "-server"
SHORT = "non-default" + " args: {'model': 'Qwen/Qwen3-8B'}\n"
"""In pieces, since this file is read as a log that is none."""

DEBUG = str(LOGS / "vllm-0.14-llama-3.1-8b-h100-debug.log")


@pytest.fixture(autouse=True)
def _folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path / "config"))


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that ``words`` fail with; asserts exit code 2, nothing on stdout and no control characters."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", err)
    return err


def test_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", MTP]) == 0
    out, err = capsys.readouterr()
    assert "300,220 tokens" in out
    assert "agrees" in out
    assert err == ""


def test_standard_input() -> None:
    with open(MTP, "rb") as stream:
        done = subprocess.run(
            [sys.executable, "-m", "kvtui", "reconcile", "-", "--format", "json"],
            stdin=stream,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0
    assert json.loads(done.stdout)["agrees"] is True


def test_options_override_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", MTP, "--kv-dtype", "bf16", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["agrees"] is False
    assert found["scenario"]["kv_dtype"] == "bf16"


def test_a_profile_from_log_to_plan(capsys: pytest.CaptureFixture[str]) -> None:
    """What reconcile saves, a report plans with: the pool of the log, without --kv-pool."""
    assert main(["reconcile", DEBUG, "--gpu", "H100 SXM", "--save-profile", "rig"]) == 0
    assert "rig.toml" in capsys.readouterr().err
    words = ["--report", "json", "--engine", "vllm@0.14.1", "--gpu-memory-utilization", "0.9", "--context", "128K"]
    words += ["--max-seqs", "256"]
    assert main(words) == 0
    prior = json.loads(capsys.readouterr().out)
    assert main([*words, "--profile", "rig"]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["engine"]["kv_cache_tokens"] == pytest.approx(450_224, rel=0.001)
    assert planned["engine"]["kv_cache_tokens"] != prior["engine"]["kv_cache_tokens"]
    assert "--profile rig" in planned["scenario"]["command_line"]
    assert main(["doctor", "--format", "json"]) == 0
    assert {"topic": "files", "item": "profiles", "value": "rig"} in json.loads(capsys.readouterr().out)


def test_an_output_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.csv"
    assert main(["reconcile", MTP, "--format", "csv", "-o", str(target)]) == 0
    assert target.read_text().startswith("id,label,unit,predicted,observed")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("no-such-file.log",), "no-such-file.log"),
        ((str(LOGS),), "is not a regular file"),
        (("\udcff\x00",), "log:"),
        ((__file__,), "looked for"),
        ((MTP, "--model", "Lama-3.1-8B"), "Llama-3.1-8B"),
        ((MTP, "--engine", "sglang"), "vllm"),
        ((MTP, "--save-profile", "../x"), "is not a name"),
        ((MTP, "--profile", "rig"), "unknown profile"),
        ((MTP, "--format", "jason"), "json"),
        ((MTP, "--gpu", "H1000000"), "H100"),
        ((), "LOG"),
    ],
)
def test_what_is_wrong_is_one_line(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str) -> None:
    assert expected in failure(capsys, "reconcile", *words)


def test_an_empty_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    empty = tmp_path / "empty.log"
    empty.touch()
    assert "looked for" in failure(capsys, "reconcile", str(empty))


def test_nothing_is_saved_when_the_log_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    failure(capsys, "reconcile", __file__, "--save-profile", "rig")
    assert not (tmp_path / "config" / "profiles").exists()


def test_a_profile_needs_the_device(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "short.log"
    log.write_text(SHORT + "Available KV " + "cache memory: 5.33 GiB\n")
    assert "--gpu" in failure(capsys, "reconcile", str(log), "--save-profile", "rig")
    assert main(["reconcile", str(log), "--save-profile", "rig", "--gpu", "L4"]) == 0


def test_a_log_that_lets_nothing_be_compared_says_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    log = tmp_path / "short.log"
    log.write_text(SHORT + "Model loading" + " took 15.27 GiB memory\n")
    assert main(["reconcile", str(log)]) == 0
    out = capsys.readouterr().out
    assert "nothing in the log could be compared with an exact prediction" in out
    assert "the plan agrees" not in out
    assert main(["reconcile", str(log), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["agrees"] is None


def test_a_command_line_is_planned_and_corrected(capsys: pytest.CaptureFixture[str]) -> None:
    words = f"{SERVE} Qwen/Qwen3-32B --max-model-len 40960 --port 8000"
    assert main(["reconcile", words, "--gpu", "RTX 4090"]) == 0
    out = capsys.readouterr().out
    assert "does not fit" in out
    assert "--port 8000 \\\n      --tensor-parallel-size 4" in out
    assert main(["reconcile", words, "--gpu", "RTX 4090", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["read"] == {"model": "Qwen/Qwen3-32B", "context": "40960"}
    assert found["commands"][0]["command"] == f"{words} --tensor-parallel-size 4"
    assert found["report"]["fixes"][0]["name"] == found["commands"][0]["name"]
    assert main(["reconcile", words, "--gpu", "H200 SXM"]) == 0
    assert "the command that starts" not in capsys.readouterr().out


@pytest.mark.parametrize("form", ["text", "csv", "markdown"])
def test_a_command_line_in_every_format(capsys: pytest.CaptureFixture[str], form: str) -> None:
    words = f"{LLAMA} -m Qwen3-32B-Q8_0.gguf -c 32768 -ctk q8_0"
    assert main(["reconcile", words, "--gpu", "RTX 4090", "--format", form]) == 0
    assert f"{LLAMA} -m Qwen3-32B-Q8_0.gguf" in capsys.readouterr().out


def test_a_command_on_standard_input() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kvtui", "reconcile", "-", "--gpu", "RTX 4090"],
        input=f"sudo {SERVE} Qwen/Qwen3-0.6B \\\n  --max-model-len 8K\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert "\u2713 fits" in done.stdout


def test_words_that_are_neither_file_nor_command_fail(capsys: pytest.CaptureFixture[str]) -> None:
    assert "no line of a server's start" in failure(capsys, "reconcile", "please make it fit")
    assert "names no model" in failure(capsys, "reconcile", f"{SERVE} --port 8000")


REFUSED = (
    "To serve at least one request with the models max seq len (131072), (5.60 GiB" + " KV cache is needed, "
    "which is larger than the available KV cache memory (2.40 GiB). Based on the available memory, the "
    "estimated maximum model length is 56144."
)


def test_a_refusal_alone_is_answered_by_its_own_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    """Half of 5.60 GiB is more than 2.40, a quarter is not; twice the tokens fit in half the bytes of each."""
    assert main(["reconcile", REFUSED]) == 0
    out = capsys.readouterr().out
    assert "3.20 GiB are missing" in " ".join(out.split())
    for flags in ("--max-model-len 56144", "--kv-cache-dtype fp8 --max-model-len 112288", "--tensor-parallel-size 4"):
        assert f"\n{flags}\n" in out
    two = "--tensor-parallel-size 2 each device needs 2.80 GiB of cache and holds half of the weights: enough"
    assert two in " ".join(out.split())
    assert main(["reconcile", REFUSED, "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["missing_bytes"] == found["needed_bytes"] - found["available_bytes"]
    assert found["longest_context_tokens"] == 56_144
    assert main(["reconcile", REFUSED, "--format", "markdown"]) == 0
    assert "--max-model-len 56144" in capsys.readouterr().out.replace("\\", "")


def test_a_refusal_without_its_beginning_is_answered_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", REFUSED.partition("), (")[2]]) == 0
    out = capsys.readouterr().out
    assert "3.20 GiB are missing" in " ".join(out.split())
    assert "\n--max-model-len 56144\n" in out


def test_a_refusal_with_its_model_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", REFUSED, "--model", "Qwen3-8B", "--gpu", "RTX 4090"]) == 0
    assert "what would let it start, by this plan" in capsys.readouterr().out


def test_a_tag_and_an_address_are_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reconcile", "qwen3:30b-a3b-q8_0", "--gpu", "RTX 4090"]) == 0
    out = capsys.readouterr().out
    assert "Qwen3-30B-A3B" in out
    assert "make it fit" in out
    assert main(["reconcile", "https://huggingface.co/Qwen/Qwen3-8B"]) == 0
    assert "fits on 1 device" in capsys.readouterr().out
