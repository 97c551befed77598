"""The command line as a user meets it: real processes, exit codes, one-line errors, pipes and files."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from kvtui.cli import main
from kvtui.commands.known import CommandLine
from kvtui.engine.picture.film import SPEEDS
from tests.nightly import sampled

pytestmark = sampled(2)

COMMAND = [sys.executable, "-m", "kvtui"]
WIDE = {**os.environ, "COLUMNS": "70"}
LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14_336,
    "vocab_size": 128_256,
    "max_position_embeddings": 131_072,
    "tie_word_embeddings": False,
}


def run(
    *words: str, stdin: int | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=60, check=False, stdin=stdin, env=env
    )


def failure(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line that ``words`` fail with; asserts exit code 2, nothing on stdout and no control characters."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("kvtui: ")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", err)
    return err


def test_help_and_version() -> None:
    assert run("--version").stdout.startswith("kvtui ")
    shown = run("--help")
    assert shown.returncode == 0
    for word in ("--model", "--report", "compare", "examples:", "exit codes:"):
        assert word in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_json_is_the_documented_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--report", "json", "--model", "Llama-3.1-8B", "--context", "128K"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schema"] == 1
    assert found["model"]["kv_bytes_per_token"] == 131_072
    assert found["memory"]["kv_bytes"] == 131_072 * 131_072
    assert found["memory"]["fits"] is True


def test_check_turns_not_fitting_into_an_exit_code() -> None:
    assert run("--report", "json", "--check").returncode == 0
    assert run("--report", "json", "--model", "Llama-3.1-405B", "--check").returncode == 4
    assert run("--report", "json", "--model", "Llama-3.1-405B").returncode == 0
    assert run("--check", "--model", "Llama-3.1-405B").returncode == 4


def test_without_a_terminal_the_app_names_the_report() -> None:
    done = run("--model", "Llama-3.1-8B", stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert "--report" in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_closed_pipe_ends_quietly() -> None:
    done = subprocess.run(
        f"{sys.executable} -m kvtui models --format json | head -c 10 >/dev/null; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() == "0"


def test_output_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert run("--report", "html", "-o", str(target)).returncode == 0
    assert target.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    missing = run("--report", "-o", str(tmp_path / "no\x1b]0;owned\x07\u202e" / "file"))
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1
    assert missing.stderr[:-1].isprintable()


def test_no_colour_unless_a_terminal_or_forced() -> None:
    assert "\x1b[" not in run("--report").stdout
    assert "\x1b[" in run("--report", "--color", "always").stdout
    assert run("--report", "--ascii").stdout.isascii()
    for words in (("fix", "--ascii"), ("compare", "--ascii", "--kv-dtype", "fp8", "--")):
        said = run(*words, "--model", "Llama-3.1-70B", "--gpu", "L4").stdout
        assert "?" not in said
        assert said.isascii()


def test_a_terminal_without_utf8_gets_ascii() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = run("--report", env=environment)
    assert done.returncode == 0
    assert done.stdout.isascii()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--report", "--model", "Lama-3.1-8B"), "Llama-3.1-8B"),
        (("--report", "--gpu", "H100 SMX"), "H100 SXM"),
        (("--report", "jsno"), "json"),
        (("--report", "--kv-dtype", "fp9"), "fp8"),
        (("--report", "--modle", "x"), "--model"),
        (("--report", "--engine", "nun"), "none"),
        (("modles",), "modles"),
        (("models", "gema"), "gemma"),
        (("models", "--format", "jason"), "json"),
        (("--report", "--color", "alway"), "always"),
    ],
)
def test_a_wrong_name_gets_the_nearest_right_one(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    assert expected in failure(capsys, *words)


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--context", ("0", "-1", "nan", "1e9", "", "12Q", "9" * 60, "99999999999999", "0.2", "١٢")),
        ("--batch", ("0", "-3", "1.5", "inf", "2000000", "x")),
        ("--gpus", ("0", "-1", "100000", "two")),
        ("--tp", ("0", "3", "999999")),
        ("--lengths", ("", "1,,2", "0", "1;2", "-5")),
        ("--kv-pool", ("0", "5 potatoes", "nanGiB", "-1GiB")),
        ("--gpu-memory-utilization", ("0", "1.1", "nan", "-0.5", "inf", "x", "1e-300", "5e-324", "1e-12")),
        ("--block-size", ("0", "1.5", "99999999")),
        ("--speculative-tokens", ("0", "-1")),
        ("--dtype", ("", "fp9", "\x1b[31mred")),
        ("--model", ("", "\x1b]0;owned\x07", "a" * 5000, "../no/such/file.json", "/", "\udcff")),
        ("--gpu", ("", "\x1b[2J", "H1000000")),
        ("--profile", ("", "none", "../x", "\x1b[2J")),
    ],
)
def test_bad_values_are_one_line(capsys: pytest.CaptureFixture[str], option: str, values: tuple[str, ...]) -> None:
    for value in values:
        assert failure(capsys, "--report", option, value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("estimate", "x", "--tp", "4"), "--tp: does not belong to kvtui estimate, but to kvtui, kvtui fix,"),
        (("estimate", "x", "--tp=4"), "--tp: does not belong to kvtui estimate, but to kvtui, kvtui fix,"),
        (("bench", "--model", "x"), "--model: does not belong to kvtui bench, but to kvtui, kvtui fix,"),
        (("compare", "--report", "--", "--pa"), "--report: does not belong to kvtui compare, but to kvtui"),
        (("--groups", "moe"), "--groups: does not belong to kvtui, but to kvtui bench"),
        (("--ascii", "doctor", "--pa"), "--pa: does not belong to kvtui doctor, but to kvtui, kvtui fix,"),
        (("models", "--modle", "x"), "unknown option '--modle'"),
        (("bench", "--sise", "fast"), "unknown option '--sise'; did you mean --size"),
        (("doctor", "b"), "unknown argument 'b'"),
        (("modles",), "unknown command 'modles'; did you mean models?"),
        (("compare", "--kv-dtype", "fp8", "--", "x"), "unknown argument 'x'"),
    ],
)
def test_an_option_that_is_not_there_is_told_from_one_that_is_elsewhere(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert said in failure(capsys, *words)


def test_no_hint_names_the_word_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """Every long option of one command, given to another that lacks it."""
    line = CommandLine()
    line.whole()
    every = {option for parser in (line.parser, *line.commands.values()) for option in parser.options()}
    options = {option for option in every if option.startswith("--")}
    for name, parser in line.commands.items():
        for option in sorted(options - set(parser.options()))[::7]:
            assert f"mean {option}" not in failure(capsys, name, option, "1")


def test_a_command_that_is_not_named_is_not_loaded() -> None:
    """Nor when a Python asks its parser for a formatter, as 3.14 does of each that is added."""
    script = (
        "import sys\nfrom kvtui.commands.known import COMMANDS, CommandLine\nline = CommandLine()\n"
        "assert [one._get_formatter()._prog for one in line.commands.values()] == [f'kvtui {c}' for c in COMMANDS]\n"
        "line.read(['models', 'gemma'])\n"
        "print(sorted(name for name in sys.modules if name.startswith('kvtui.commands.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    loaded = {name.removeprefix("kvtui.commands.") for name in ast.literal_eval(done.stdout)}
    assert loaded == {"answer", "app", "completion", "known", "listings", "narration", "parser", "report", "streams"}


def test_the_range_of_speeds_in_the_help_is_the_films() -> None:
    assert f"{SPEEDS[0]:g} to {SPEEDS[-1]:g}" in CommandLine().parser.format_help()


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--kv-dtype", "bf16", "--format", "json", "--", "--kv-dtype", "fp8"]) == 0
    first, second = json.loads(capsys.readouterr().out)["scenarios"]
    assert first["memory"]["kv_bytes"] == 2 * second["memory"]["kv_bytes"]
    assert "two scenarios" in failure(capsys, "compare", "--kv-dtype", "bf16")
    assert "comes first" in failure(capsys, "--ascii", "compare")


@pytest.mark.parametrize("kind", ["models", "devices"])
def test_listings(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert main([kind, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) >= (106 if kind == "models" else 84)
    assert all(row["name"] for row in rows)
    assert main([kind]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_doctor_says_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    (tmp_path / "clusters.toml").write_text("[[cluster]]\nname = 'Mine'\n")
    (tmp_path / "models.toml").write_text("nonsense\n")
    assert main(["doctor", "--format", "json"]) == 0
    said = {row["item"]: row["value"] for row in json.loads(capsys.readouterr().out) if row["topic"] == "left out"}
    assert "cluster 'Mine'" in said["clusters"]
    assert "models.toml" in said["models"]


def test_doctor_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--format", "json"]) == 0
    topics = {row["topic"] for row in json.loads(capsys.readouterr().out)}
    assert topics == {"version", "terminal", "accelerator", "files"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert main(["--completion", shell]) == 0
    assert "kv-dtype" in capsys.readouterr().out


def test_the_reproducing_command_reproduces(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--report", "json", "--model", "Gemma-3-27B", "--gpus", "2", "--batch", "3", "--pa", "--no-fa"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    again = shlex.split(found["scenario"]["command_line"])[1:]
    assert again[0] == "--report"
    assert main(["--report", "json", *again[1:]]) == 0
    repeated = json.loads(capsys.readouterr().out)
    assert repeated["memory"] == found["memory"]


@pytest.mark.skipif(os.name != "posix", reason="such names are POSIX's")
@pytest.mark.parametrize("name", ["\x1b]0;owned\x07 \u202eevil", "new\nline\t\\x41'\udcff", "a b'c\"d$(id)`id`!"])
def test_the_reproducing_command_can_be_pasted_whatever_the_name(tmp_path: Path, name: str) -> None:
    """Pasted into a shell it gives the same report, and nothing of the name reaches the terminal as it is."""
    path = os.path.join(tmp_path, name)
    os.mkdir(path)
    (tmp_path / name / "config.json").write_text(json.dumps(LLAMA))
    kvtui = f'kvtui() {{ {shlex.quote(sys.executable)} -m kvtui "$@"; }}\n'

    def shell(script: str) -> str:
        done = subprocess.run(["bash", "-c", kvtui + script], capture_output=True, timeout=60, check=True, env=WIDE)
        assert done.stderr == b""
        return done.stdout.decode()

    text = run("--report", "--model", path, "--kv-dtype", "fp8", env=WIDE).stdout
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    pasted = text[text.index("\nkvtui --report") :]
    assert shell(pasted) == text
    found = json.loads(run("--report", "json", "--model", path).stdout)["scenario"]["command_line"]
    assert json.loads(shell(f"{found.replace('--report', '--report json', 1)}\n"))["scenario"]["command_line"] == found
    fenced = run("--report", "markdown", "--model", path).stdout
    assert f"sh\n{found}\n```" in fenced


def test_a_config_file_is_a_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    for given in (tmp_path, tmp_path / "config.json"):
        assert main(["--report", "json", "--model", str(given)]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["model"]["kv_bytes_per_token"] == 131_072
        assert found["model"]["parameters"] == 8_030_261_248


def test_interrupt_is_130(tmp_path: Path) -> None:
    script = "import kvtui.cli as c\ndef stop(words): raise KeyboardInterrupt\nc.do = stop\nc.run()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 130
    assert done.stderr == ""


def test_fix_lists_what_makes_it_fit_and_a_line_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    """The line of a fix is the scenario that it makes: it fits, and needs no fix itself."""
    code = main(["fix", "--model", "Llama-3.3-70B", "--engine", "vllm", "--context", "32K", "--users", "35"])
    shown = capsys.readouterr().out
    assert code == 0
    assert "batch 35" in shown
    assert "8 devices (tp 8)" in shown
    lines = re.findall(r"^ *\d+  (kvtui --report .*(?:\n      .*)*)", shown, re.MULTILINE)
    assert len(lines) >= 5
    for line in lines[:3]:
        _, *words = shlex.split(line.replace("\\\n", " "))
        assert main([*words, "--check"]) == 0
        assert "make it fit" not in capsys.readouterr().out


def test_fix_of_what_fits_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "--model", "Llama-3.2-1B", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["fits"]
    assert found["fixes"] == []


def test_fix_of_what_nothing_helps_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", "--model", "DeepSeek-V3.2", "--gpu", "RTX 3060", "--context", "1M", "--users", "100000"]) == 4
    assert "no change" in capsys.readouterr().out
