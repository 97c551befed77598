"""Figures with every kind of mark and axis, well behaved and hostile, for the tests of all renderers."""

from __future__ import annotations

import numpy as np

from kvtui.figures.figure import (
    Axis,
    Bars,
    Cloud,
    Figure,
    HeatMap,
    Histogram,
    Line,
    Panel,
    Rule,
    Scatter,
    Surface,
    floats,
)

CONTEXT = Axis("context", "tokens", "log2", "tokens")
KV = Axis("KV cache", ticks="bytes")
TOKENS = floats([2.0**e for e in range(8, 18)])
HEADS = {"MHA": 32, "GQA 4×": 8, "GQA 8×": 4, "MQA": 1}


def kv_bytes(heads: int) -> np.ndarray:
    """Bytes of 32 layers of ``heads`` KV heads of 128 in bf16 at TOKENS."""
    return 2 * 2 * 32 * heads * 128 * TOKENS


CURVES = Figure(
    "curves",
    "KV cache against context",
    "When does a longer context stop fitting?",
    (
        Panel(
            "one sequence",
            CONTEXT,
            Axis("KV cache", "", "log10", "bytes"),
            tuple(Line(name, TOKENS, kv_bytes(heads)) for name, heads in HEADS.items()),
            rules=(Rule("y", 24 * 2**30, "24 GiB"), Rule("x", 32768.0, "32K")),
        ),
    ),
    ("32 layers, head dimension 128, bf16.",),
)
POSITIONS, STEPS = np.linspace(0, 8192, 33), np.arange(33.0)
BAND = Figure(
    "band",
    "Decode latency by position",
    "",
    (
        Panel(
            "",
            Axis("position", "tokens", ticks="tokens"),
            Axis("step", "ms"),
            (
                Line("MHA", POSITIONS, 4.0 + 0.2 * STEPS, 3.5 + 0.19 * STEPS, 4.6 + 0.23 * STEPS, "solid"),
                Line("MLA", POSITIONS, 3.0 + 0.05 * STEPS, 2.8 + 0.05 * STEPS, 3.3 + 0.05 * STEPS, "dashed", True),
            ),
        ),
    ),
)
BARS = Figure(
    "bars",
    "Throughput",
    "Which variant is fastest?",
    (
        Panel(
            "",
            Axis("variant"),
            Axis("decode", "tok/s"),
            (
                Bars(
                    "prompt 128", floats([100, 200, 400, 50]), floats([90, 180, 390, 45]), floats([120, 220, 430, 55])
                ),
                Bars("prompt 512", floats([80, 150, 300, None])),
            ),
            categories=("MHA", "GQA", "MQA", "MLA"),
            rules=(Rule("y", 250.0, "target"),),
        ),
    ),
)
LONG_BARS = Figure(
    "models",
    "KV cache per token",
    "",
    (
        Panel(
            "",
            Axis("model"),
            Axis("KV cache per token", ticks="bytes"),
            (Bars("KV per token", floats([131072, 70272, 98304, 262144, 36864, 12288])),),
            categories=(
                "Llama-3.1-8B-Instruct",
                "DeepSeek-V3.2",
                "Qwen3-235B-A22B",
                "Mistral-Large-2",
                "gemma",
                "Kimi",
            ),
        ),
    ),
)
SCATTER = Figure(
    "pareto",
    "Quality against cache",
    "",
    (
        Panel(
            "",
            Axis("KV cache", "MB", "log10"),
            Axis("validation loss"),
            (
                Scatter("dense", floats([1, 4, 16, 64]), floats([3.1, 2.9, 2.8, 2.75]), labels=("a", "b", "c", "d")),
                Scatter("MoE", floats([2, 8, 30]), floats([3.0, 2.85, 2.7]), floats([1, 4, 9])),
            ),
        ),
    ),
)
HISTOGRAM = Figure(
    "ttft",
    "Time to first token",
    "",
    (
        Panel(
            "",
            Axis("TTFT", "ms"),
            Axis("density"),
            (
                Histogram("MHA", np.random.default_rng(1).normal(20, 2, 400)),
                Histogram("MLA", np.random.default_rng(2).normal(28, 3, 400)),
            ),
        ),
    ),
)
_BATCH = floats([2.0**e for e in range(8)])
HEAT = Figure(
    "memory",
    "Memory used",
    "What fits?",
    (
        Panel(
            "",
            CONTEXT,
            Axis("batch", "sequences", "log2"),
            (HeatMap("memory", TOKENS, _BATCH, kv_bytes(8)[None, :] * _BATCH[:, None], (24 * 2.0**30,)),),
            z=Axis("KV cache", "", "log2", "bytes"),
            rules=(Rule("z", 80 * 2.0**30, "80 GiB"),),
        ),
    ),
)
SURFACE = Figure(
    "surface",
    "Cache surface",
    "",
    (
        Panel(
            "space",
            CONTEXT,
            Axis("parameters", "M", "log10"),
            (
                Surface("MHA", TOKENS, floats([3, 30, 300]), kv_bytes(32)[None, :] * floats([1, 2, 3])[:, None]),
                Cloud("runs", TOKENS, TOKENS / 1000, TOKENS * 1e6, floats(range(10))),
            ),
            z=Axis("KV cache", "", "log10", "bytes"),
            rules=(Rule("z", 24 * 2.0**30, "24 GiB"),),
        ),
    ),
)
MANY = Figure(
    "decode",
    "Decode, three ways",
    "How do the variants compare?",
    (HISTOGRAM.panels[0], BAND.panels[0], BARS.panels[0]),
    ("Each point is the median of 40 steps; bands are p20 to p80.",),
)
FLAT = (CURVES, BAND, BARS, LONG_BARS, SCATTER, HISTOGRAM, HEAT, MANY)
GALLERY = (*FLAT, SURFACE)


def line_figure(*marks: Line, x: Axis | None = None, y: Axis | None = None) -> Figure:
    """One panel with ``marks`` over plain axes."""
    return Figure("lines", "Lines", "", (Panel("", x or Axis("x"), y or Axis("y", "ms"), marks),))


def _hostile() -> dict[str, Figure]:
    steps, million = np.arange(5.0), np.linspace(0, 1, 10**6)
    wild = floats([1, None, 3, None, 5])
    wild[3] = np.inf
    name = "[bold]\x1b[31mred\x1b[0m " + "name " * 30 + "\u202e日本語"
    return {
        "no panels": Figure("none", "Nothing", "", ()),
        "no marks": Figure("none", "Nothing", "", (Panel("", Axis("x"), Axis("y"), ()),)),
        "empty": line_figure(Line("a", floats([]), floats([]))),
        "one point": line_figure(Line("a", floats([3]), floats([4]))),
        "all missing": line_figure(Line("a", steps, floats([None] * 5))),
        "gaps": line_figure(Line("a", steps, wild, wild - 1, wild + 1)),
        "constant": line_figure(Line("a", steps, np.full(5, 7.0))),
        "zero": line_figure(Line("a", np.zeros(5), np.zeros(5))),
        "huge": line_figure(Line("a", steps, floats([-1.7e308, 0, 1.7e308, 1, 2]))),
        "tiny": line_figure(Line("a", steps, steps * 5e-324)),
        "close": line_figure(Line("a", steps, 1e16 + 2 * steps)),
        "log of nothing": line_figure(
            Line("a", steps - 9, steps - 9), x=Axis("x", "", "log2"), y=Axis("y", "", "log10")
        ),
        "log extremes": line_figure(Line("a", steps, floats([5e-324, 1, 1e308, 1, 1])), y=Axis("y", "", "log10")),
        "a million": line_figure(Line("a", million, np.sin(1e4 * million))),
        "a million gaps": line_figure(Line("a", million, np.where(np.arange(10**6) % 2, million, np.nan))),
        "forty": line_figure(*(Line(f"series {i}", steps, steps * i) for i in range(40))),
        "names": line_figure(Line(name, steps, steps), x=Axis(name, name), y=Axis(name)),
        "bad ends": line_figure(Line("a", steps, steps), y=Axis("y", low=9.0, high=1.0)),
        "outside": line_figure(Line("a", steps, steps), y=Axis("y", low=100.0, high=101.0)),
        "negative bars": Figure(
            "b",
            "Bars",
            "",
            (Panel("", Axis("x"), Axis("y"), (Bars("a", floats([-1, 2, None])),), categories=("a", "b", "c")),),
        ),
        "many bars": Figure(
            "b",
            "Bars",
            "",
            (
                Panel(
                    "",
                    Axis("x"),
                    Axis("y"),
                    tuple(Bars(f"s{i}", np.arange(200.0)) for i in range(9)),
                    categories=tuple(f"category {i}" for i in range(200)),
                ),
            ),
        ),
        "log bars": Figure(
            "b",
            "Bars",
            "",
            (
                Panel(
                    "", Axis("x"), Axis("y", "", "log10"), (Bars("a", floats([0, 1, 1e9])),), categories=("a", "b", "c")
                ),
            ),
        ),
        "one tile": Figure(
            "h",
            "Heat",
            "",
            (Panel("", Axis("x"), Axis("y"), (HeatMap("a", floats([1]), floats([1]), np.ones((1, 1))),)),),
        ),
        "no tile": Figure(
            "h",
            "Heat",
            "",
            (Panel("", Axis("x"), Axis("y"), (HeatMap("a", floats([]), floats([]), np.ones((0, 0)), (1.0,)),)),),
        ),
        "holes": Figure(
            "h",
            "Heat",
            "",
            (Panel("", Axis("x"), Axis("y"), (HeatMap("a", steps, steps, np.full((5, 5), np.nan), (1.0,)),)),),
        ),
        "equal samples": Figure(
            "t", "Same", "", (Panel("", Axis("x"), Axis("y"), (Histogram("a", np.full(9, 3.0)),)),)
        ),
        "sizes": Figure(
            "s",
            "Sizes",
            "",
            (Panel("", Axis("x"), Axis("y"), (Scatter("a", steps, steps, floats([0, -1, None, 1e308, 1])),)),),
        ),
    }


HOSTILE = _hostile()
