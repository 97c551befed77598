"""The comparison with a log in every format: the same figures, exact where programs read, harmless everywhere."""

from __future__ import annotations

import csv
import json
import re
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from kvtui.engine.basis.errors import UnknownName
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.reconcile.reconcile import reconcile
from kvtui.output.table import FORMATS
from kvtui.report.reconcile import document, render
from tests.nightly import sampled
from tests.paths import LOGS

pytestmark = sampled(2)

NAMES = tuple(sorted(path.name for path in LOGS.iterdir()))

UNITS_IN_SIGNS = ("bytes", "percent", "requests")
"""Units that are written as a sign or in another size; the others stand behind their number."""


def shown(data: bytes, format: str, **look: Any) -> str:
    return render(document(reconcile(read_log(BytesIO(data)), {})), format, **look)


@pytest.fixture(params=NAMES)
def data(request: pytest.FixtureRequest) -> bytes:
    path: Path = LOGS / request.param
    return path.read_bytes()


def test_json_has_every_row_exactly(data: bytes) -> None:
    found = json.loads(shown(data, "json"))
    assert found["schema"] == 1
    assert found["agrees"] is True
    assert found["rows"]
    for row in found["rows"]:
        assert set(row) == {
            "id",
            "label",
            "unit",
            "predicted",
            "observed",
            "difference",
            "difference_percent",
            "verdict",
            "exact",
            "meaning",
        }
        assert row["verdict"] in ("agrees", "differs", "estimate", "unknown")
    assert len({row["id"] for row in found["rows"]}) == len(found["rows"])
    sizes = [row["observed"] for row in found["rows"] if row["unit"] == "bytes"]
    assert {type(size) for size in sizes} == {int}
    predicted = [row for row in found["rows"] if row["predicted"] is not None]
    assert predicted
    for row in predicted:
        assert row["difference"] == pytest.approx(row["predicted"] - row["observed"], abs=2e-6)


def test_csv_has_the_rows_of_json(data: bytes) -> None:
    rows = json.loads(shown(data, "json"))["rows"]
    table = list(csv.DictReader(StringIO(shown(data, "csv"))))
    assert [row["id"] for row in table] == [row["id"] for row in rows]
    assert [row["observed"] for row in table] == [str(row["observed"]) for row in rows]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_text_keeps_within_the_terminal(data: bytes, width: int) -> None:
    lines = shown(data, "text", width=width).splitlines()
    assert max(map(cell_len, lines)) <= max(width, 80)
    assert any(line.startswith("component") for line in lines)


def test_text_and_markdown_say_the_same_figures(data: bytes) -> None:
    found = json.loads(shown(data, "json"))
    text, markdown = shown(data, "text", width=200), shown(data, "markdown")
    assert all(row["label"] in text for row in found["rows"])
    counts = [f"{row['observed']:,} {row['unit']}" for row in found["rows"] if row["unit"] not in UNITS_IN_SIGNS]
    assert counts
    for figure in counts:
        assert figure in text
        assert figure in markdown
    assert found["scenario"]["command_line"] in markdown


def test_colour_only_where_it_is_wanted_and_ascii(data: bytes) -> None:
    assert "\x1b" not in shown(data, "text")
    assert "\x1b[" in shown(data, "text", color=True)
    assert shown(data, "text", ascii_only=True).isascii()


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_text_in_a_log_is_harmless(format: str) -> None:
    evil = "\\x1b]0;owned\x07[link=http://x](y)<script>|=cmd()\u202e`"
    log = (
        f"vLLM API server version 0.20.0\x1b[2J\nnon-default args: {{'model': 'x/{evil}/Qwen3-8B'}}\n"
        f"Available KV cache memory: 5.33 GiB\nFree memory on device {evil} is less than desired\n"
    )
    text = shown(log.encode(), format)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", text)
    markup = r"(?<!\\)[<|]script|(?<!\\)\]\("
    assert format != "markdown" or not re.search(markup, text)


def test_a_cut_off_log_says_what_is_missing() -> None:
    data = (LOGS / "vllm-0.22-qwen3.6-27b-fp8-tp2-mtp.log").read_bytes()
    cut = data[: data.index(b"Available KV cache memory")]
    found = json.loads(shown(cut, "json"))
    assert any("Available KV cache memory" in what for what in found["log"]["missing"])
    assert "does not say the cache's memory" in shown(cut, "text", width=200)


def test_an_unknown_format() -> None:
    with pytest.raises(UnknownName, match="json"):
        shown((LOGS / NAMES[0]).read_bytes(), "jason")


def test_what_was_fed_from_the_log_is_said_beside_what_is_compared() -> None:
    """Equal tokens beside unequal memory of the cache: the tokens are worked out from the log's own memory."""
    text = " ".join(shown((LOGS / "vllm-0.25-gemma-4-31b-h200.jsonl.log").read_bytes(), "text", width=200).split())
    assert "fed with the log's 64.68 GiB of cache, the plan agrees with the log on KV cache size" in text
    assert "estimates from before the start stand below" in text
