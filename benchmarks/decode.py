"""The JAX transformer beside the machine's limits and PyTorch: ``python benchmarks/decode.py [--full] [--gate]``.

On the CPU, medium model (30 million parameters), batch 1, with a full cache: milliseconds per decode step called from
Python and in one program; the floor, which is the bytes of a step at the bandwidth probed beside it; XLA's count of
bytes; scratch memory; cache bytes; prefill beside the machine's matrix product; and, with the extra ``peers``, the same
model in PyTorch eager, whose logits are compared first. Everything that is compared is measured in turn, round by
round; figures are medians over the rounds, ratios are taken within a round. "best" is the ratio of the fastest step to
the lowest floor, which tells a busy machine from a slow program. With --gate the exit code is 1 when a goal is missed
by more than 1.3 times.

PyTorch's OpenMP threads wait without spinning unless $OMP_WAIT_POLICY says otherwise: on a machine with anything else
to do, spinning ones take the cores from each other and a step takes up to ten times as long.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import jax
import jax.numpy as jnp
import numpy as np

from kvtui.bench import probe, series
from kvtui.bench.compiled import Program, build, enable_cache
from kvtui.bench.nn import transformer
from kvtui.bench.nn.cache import ModelCache, cache_bytes
from kvtui.bench.nn.platform import bits_of
from kvtui.bench.series import Advance, GenerationState, Timed
from kvtui.cases import prediction as predict
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.statistics import median
from kvtui.engine.basis.units import KIB, MIB
from kvtui.output.table import Column, render

try:
    import peers
except ImportError:
    peers = None

MEDIUM = TransformerShape(dim=512, blocks=8, heads=8, head_dim=64, kv_heads=8, hidden=1408, vocab=8192, context=8192)
LARGE = TransformerShape(dim=768, blocks=12, heads=12, head_dim=64, kv_heads=12, hidden=2048, vocab=32000, context=8192)
TINY = TransformerShape()
MODELS = {
    "MHA": MEDIUM,
    "GQA 2": replace(MEDIUM, kv_heads=2),
    "MQA": replace(MEDIUM, kv_heads=1),
    "MLA": replace(MEDIUM, latent=128, query_latent=256, rope_dim=32),
}
DTYPES = ("fp32", "bf16")
LENGTHS, LARGE_LENGTHS = {False: (512, 8192), True: (512, 2048, 8192)}, {False: (128,), True: (128, 2048, 8192)}
ROUNDS = {False: 5, True: 9}
PROMPT = 512
BUDGET = TimeBudget(warmup=3, trials=1, most=60, seconds=0.1)

FLOOR_GOAL, LARGE_GOAL = 2.0, 1.6
SPREAD_GOAL = 1.5
"""How far apart the attentions' ratios to their floors may be; beyond it a comparison shows XLA and not the bytes."""
TORCH_SHARE = 0.95
SLACK = 1.3
CHECKED, CHECK_LENGTH = 4, 128
TOLERANCE = {"fp32": 1e-4, "bf16": 0.15}


class Goal(NamedTuple):
    """``value`` should be at most, at least or exactly (``sign``) ``limit``."""

    item: str
    value: float
    sign: str
    limit: float

    @property
    def missed_by(self) -> float:
        """How many times the limit was missed: at most 1 when it was kept."""
        match self.sign:
            case "≤":
                return self.value / self.limit
            case "≥":
                return self.limit / self.value
        return 1.0 if self.value == self.limit else float("inf")

    @property
    def verdict(self) -> str:
        """What to say of it."""
        return "met" if self.missed_by <= 1 else "within slack" if self.missed_by <= SLACK else "MISSED"


@dataclass
class Lane:
    """A case with its programs, the ways to take a sample of each series, and where each of them stands."""

    name: str
    case: Case
    programs: dict[str, Program]
    advances: dict[str, Advance]
    states: dict[str, GenerationState]
    shared: GenerationState
    kv_bytes: int

    def sample(self, name: str) -> list[float]:
        """Milliseconds of the series ``name``; JAX's series hand one cache on to each other, as it is donated."""
        state, calls, _ = series.collect(self.advances[name], self.states.get(name, self.shared), BUDGET)
        self._keep(name, state)
        return [ms for ms, *_ in calls]

    def warm_up(self, name: str) -> None:
        """Run the series until it is steady."""
        state, _ = series.warm_up(self.advances[name], self.states.get(name, self.shared), BUDGET)
        self._keep(name, state)

    def _keep(self, name: str, state: GenerationState) -> None:
        if name in self.states:
            self.states[name] = state
        else:
            self.shared = state


class Cell(NamedTuple):
    """A line of the table; times in milliseconds, ``torch`` of the faster attention, named in ``attention``."""

    model: str
    dtype: str
    tokens: int
    step: float
    scan: float
    overhead: float
    floor: float
    over_floor: float
    best_over_floor: float
    xla_bytes: float
    temp_bytes: int
    kv_bytes: float
    torch: float | None
    attention: str | None
    step_over_torch: float | None
    scan_over_torch: float | None
    over_fp32: float | None


COLUMNS = (
    Column("model", "model"),
    Column("dtype", "dtype"),
    Column("tokens", "tokens", "right", 0, "{:,}".format),
    Column("step", "step ms", "right", 0, "{:.2f}".format),
    Column("scan", "scan ms", "right", 0, "{:.2f}".format),
    Column("overhead", "step−scan", "right", 0, "{:.2f}".format),
    Column("floor", "floor ms", "right", 0, "{:.2f}".format),
    Column("over_floor", "step/floor", "right", 0, "{:.2f}".format),
    Column("best_over_floor", "best", "right", 0, "{:.2f}".format),
    Column("xla_bytes", "XLA/predicted", "right", 0, "{:.3f}".format),
    Column("temp_bytes", "temp KiB", "right", 0, lambda count: f"{count / KIB:,.0f}"),
    Column("kv_bytes", "KV", "right", 0, "{:g}".format),
    Column("torch", "torch ms", "right", 0, "{:.2f}".format),
    Column("attention", "by"),
    Column("step_over_torch", "step/torch", "right", 0, "{:.2f}".format),
    Column("scan_over_torch", "scan/torch", "right", 0, "{:.2f}".format),
    Column("over_fp32", "bf16/fp32", "right", 0, "{:.2f}".format),
)


def main(words: Sequence[str]) -> int:
    """Print the tables; return 1 when the gate is asked for and a goal is missed by more than the slack."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="some cells, in about three minutes (the default)")
    size.add_argument("--full", action="store_true", help="every cell")
    parser.add_argument("--gate", action="store_true", help=f"fail when a goal is missed by more than {SLACK} times")
    chosen = parser.parse_args(words)
    enable_cache()
    _print_host()
    if peers is not None:
        _check_twin()
    cells = [
        cell
        for model, shape in MODELS.items()
        for tokens in LENGTHS[chosen.full]
        for cell in decode(model, shape, tokens, DTYPES, ROUNDS[chosen.full])
    ]
    large = [
        cell
        for tokens in LARGE_LENGTHS[chosen.full]
        for cell in decode("110M MHA", LARGE, tokens, ("fp32",), ROUNDS[chosen.full])
    ]
    tiny = decode("tiny MHA", TINY, TINY.context, ("fp32",), 2 * ROUNDS[chosen.full])
    goals = [*_decode_goals(cells, large, tiny), *prefill(ROUNDS[chosen.full])]
    print(render(COLUMNS, [cell._asdict() for cell in (*cells, *large, *tiny)], "text", width=250))
    _print_goals(goals)
    print(f"load average {_load()} at the end")
    return 1 if chosen.gate and any(goal.missed_by > SLACK for goal in goals) else 0


def decode(model: str, shape: TransformerShape, tokens: int, dtypes: Sequence[str], rounds: int) -> list[Cell]:
    """Decode ``shape`` with a cache of ``tokens`` in each of ``dtypes``, in turn, there and back in every round."""
    _say(f"{model}, {tokens:,} tokens")
    lanes = [_lane(replace(shape, dtype=dtype, kv_dtype=dtype, context=tokens)) for dtype in dtypes]
    for lane in lanes:
        for name in lane.advances:
            lane.warm_up(name)
    order = [(lane, name) for lane in lanes for name in (*lane.advances, "probe")]
    seen: dict[tuple[str, str], list[list[float]]] = {(lane.name, name): [] for lane, name in order}
    for number in range(rounds):
        for lane, name in order if number % 2 == 0 else reversed(order):
            seen[lane.name, name].append([_floor(lane.case)] if name == "probe" else lane.sample(name))
    middles = {place: [median(ms) for ms in every] for place, every in seen.items()}
    lowest = {place: min(map(min, every)) for place, every in seen.items()}
    return [_cell(model, lane, middles, lowest, middles[lanes[0].name, "decode_step"]) for lane in lanes]


def prefill(rounds: int) -> list[Goal]:
    """Prefill the medium MHA model in both dtypes, beside the machine's matrix product in fp32, in turn."""
    _say(f"prefill, {PROMPT} tokens")
    lanes = []
    for dtype in DTYPES:
        shape = replace(MODELS["MHA"], dtype=dtype, kv_dtype=dtype)
        case = Case(shape, prompt=PROMPT, length=PROMPT + 1)
        lanes.append(_jax_lane(case, series.init_weights(shape), ("prefill", "first")))
        lanes[-1].warm_up("prefill")
    shares, speedups = [], []
    for _ in range(rounds):
        probe.matmul_peak.cache_clear()
        peak = probe.matmul_peak("fp32")
        wide, narrow = (median(lane.sample("prefill")) for lane in lanes)
        shares.append(predict.prefill_flops(lanes[0].case) / wide / 1e6 / peak)
        speedups.append(wide / narrow)
        _say(f"  peak {peak:.0f} GFLOP/s, fp32 {wide:.0f} ms, bf16 {narrow:.0f} ms")
    return [
        Goal(f"prefill of {PROMPT}, fp32 / matmul peak", median(shares), "≥", 0.65),
        Goal(f"prefill of {PROMPT}, bf16 rate / fp32", median(speedups), "≥", 1.7),
    ]


def _lane(shape: TransformerShape) -> Lane:
    """Decoding of the last tokens of a full cache, by JAX and, where it is there, PyTorch."""
    prompt = shape.context - series.SCAN_STEPS
    weights = series.init_weights(shape)
    lane = _jax_lane(Case(shape, prompt=prompt), weights, ("decode_step", "decode_scan"))
    if peers is None:
        return lane
    opening = GenerationState(prompt, (peers.torch.zeros(1, dtype=peers.torch.int64),), ())
    model = peers.twin(shape, weights, *lane.shared.cache)
    for name, attend in peers.ATTENDS.items():
        lane.advances[name] = _twin_advance(model, attend, opening)
        lane.states[name] = opening
    return lane


def _jax_lane(case: Case, weights: transformer.Weights, names: Sequence[str]) -> Lane:
    programs = build(series.sources(case, names)).programs
    given = series.inputs(case, weights)
    cache = _filled(*series.init_cache(case))
    opening = GenerationState(case.prompt, (jnp.zeros(1, jnp.int32), jnp.int32(case.prompt), given.key), (cache,))
    advances = series.advances(case, programs, given, opening)
    return Lane(case.shape.dtype, case, programs, advances, {}, opening, cache_bytes(cache))


def _filled(cache: ModelCache) -> ModelCache:
    """A cache of random rows: as fast to read as real ones, and there without a prefill of thousands of tokens."""
    leaves, tree = jax.tree.flatten(cache)
    keys = jax.random.split(jax.random.key(series.SEED), len(leaves))
    return jax.tree.unflatten(tree, [_random_rows(key, leaf) for key, leaf in zip(keys, leaves, strict=True)])


def _random_rows(key: Any, like: Any) -> Any:
    if like.dtype == jnp.uint16:
        return bits_of(jax.random.normal(key, like.shape, jnp.bfloat16))
    return jax.random.normal(key, like.shape, like.dtype)


def _twin_advance(model: Any, attend: Any, opening: GenerationState) -> Advance:
    def advance(state: GenerationState) -> Timed:
        if state.at == model.shape.context:
            state = opening
        started = time.perf_counter_ns()
        token = peers.step(model, *state.rest, state.at, attend)
        ms = (time.perf_counter_ns() - started) / 1e6
        return Timed((ms,), state.at, GenerationState(state.at + 1, (token,), ()))

    return advance


def _check_twin() -> None:
    """Raise SystemExit unless PyTorch's logits are those of JAX over the same weights, cache and tokens."""
    run = jax.jit(transformer.decode, static_argnums=0)
    for model, shape in MODELS.items():
        for dtype in DTYPES:
            apart = _differences(replace(shape, dtype=dtype, kv_dtype=dtype, context=CHECK_LENGTH), run)
            _say(f"{model} {dtype}: PyTorch's logits differ by {max(apart):.1e} at most")
            if not max(apart) <= TOLERANCE[dtype]:
                raise SystemExit(
                    f"{model} {dtype}: PyTorch's logits differ by {max(apart):g}, over {TOLERANCE[dtype]:g}"
                )


def _differences(shape: TransformerShape, run: Callable[..., Any]) -> list[float]:
    """How far apart the logits of the last tokens of a short cache are, for each way of attention."""
    weights = series.init_weights(shape)
    cache = _filled(*series.init_cache(Case(shape)))
    twins = [(peers.twin(shape, weights, cache), attend) for attend in peers.ATTENDS.values()]
    apart = []
    for position in range(CHECK_LENGTH - CHECKED, CHECK_LENGTH):
        token = 37 * position % shape.vocab
        ours, cache = run(shape, weights, jnp.array([token]), jnp.int32(position), cache)
        for model, attend in twins:
            with peers.torch.inference_mode():
                theirs = peers.logits(model, peers.torch.tensor([token]), position, attend)
            apart.append(float(np.abs(np.asarray(ours) - theirs.numpy()).max()))
    return apart


def _floor(case: Case) -> float:
    """Milliseconds of reading the bytes of a step of ``case`` at the bandwidth of this moment."""
    size = _step_bytes(case)
    return size / probe.read_bandwidth(size).gbs / 1e6


def _step_bytes(case: Case) -> int:
    return predict.step_bytes(case, (case.prompt + case.cache_length) // 2)


def _cell(
    model: str,
    lane: Lane,
    middles: dict[tuple[str, str], list[float]],
    lowest: dict[tuple[str, str], float],
    fp32: list[float],
) -> Cell:
    name, case = lane.name, lane.case
    step, scan, floor = (middles[name, key] for key in ("decode_step", "decode_scan", "probe"))
    program = lane.programs["decode_step"]
    twins = {key: middles[name, key] for key in lane.states}
    attention = min(twins, key=lambda key: median(twins[key]), default=None)
    theirs = None if attention is None else twins[attention]
    return Cell(
        model=model,
        dtype=name,
        tokens=case.cache_length,
        step=median(step),
        scan=median(scan),
        overhead=median([a - b for a, b in zip(step, scan, strict=True)]),
        floor=median(floor),
        over_floor=_ratio(step, floor),
        best_over_floor=lowest[name, "decode_step"] / lowest[name, "probe"],
        xla_bytes=(program.bytes_accessed or 0) / _step_bytes(case),
        temp_bytes=program.temp_bytes,
        kv_bytes=lane.kv_bytes / predict.kv_bytes(case),
        torch=None if theirs is None else median(theirs),
        attention=attention,
        step_over_torch=None if theirs is None else _ratio(step, theirs),
        scan_over_torch=None if theirs is None else _ratio(scan, theirs),
        over_fp32=None if name == "fp32" else _ratio(step, fp32),
    )


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median([a / b for a, b in zip(ours, theirs, strict=True)])


def _decode_goals(cells: Sequence[Cell], large: Sequence[Cell], tiny: Sequence[Cell]) -> list[Goal]:
    longest = max(cell.tokens for cell in cells)
    wide = [cell for cell in cells if cell.dtype == "fp32"]
    every = [*cells, *large, *tiny]
    found = [
        Goal(f"{cell.model} fp32 {longest:,}, step / floor", cell.over_floor, "≤", FLOOR_GOAL)
        for cell in wide
        if cell.tokens == longest
    ]
    full = [cell for cell in cells if cell.tokens == longest]
    found += [_spread(dtype, [cell for cell in full if cell.dtype == dtype]) for dtype in DTYPES]
    found += [Goal(f"110M MHA fp32 {cell.tokens:,}, step / floor", cell.over_floor, "≤", LARGE_GOAL) for cell in large]
    found += [
        _worst("bf16 step / fp32 step", cells, "over_fp32", "≤", 1.0),
        Goal("tiny, step − scan, ms", tiny[0].overhead, "≤", 0.3),
        _worst("XLA bytes / predicted, fp32", wide, "xla_bytes", "≤", 1.10),
        Goal("temp MiB, most of all cells", max(cell.temp_bytes for cell in every) / MIB, "≤", 1.0),
        Goal("KV bytes measured / predicted", max((cell.kv_bytes for cell in every), key=lambda x: abs(x - 1)), "=", 1),
    ]
    if peers is not None:
        found += [
            Goal("cells with step ≤ PyTorch's", _share(cells, "step_over_torch"), "≥", TORCH_SHARE),
            Goal("cells with scan ≤ PyTorch's", _share(cells, "scan_over_torch"), "≥", TORCH_SHARE),
            _worst("step / PyTorch's", cells, "step_over_torch", "≤", 1.3),
            _worst("scan / PyTorch's", cells, "scan_over_torch", "≤", 1.3),
        ]
    return found


def _spread(dtype: str, cells: Sequence[Cell]) -> Goal:
    ratios = {cell.model: cell.over_floor for cell in cells}
    most, least = max(ratios, key=ratios.__getitem__), min(ratios, key=ratios.__getitem__)
    item = f"step / floor, {dtype} {cells[0].tokens:,}, {most} / {least}"
    return Goal(item, ratios[most] / ratios[least], "≤", SPREAD_GOAL)


def _worst(item: str, cells: Sequence[Cell], field: str, sign: str, limit: float) -> Goal:
    held = [cell for cell in cells if getattr(cell, field) is not None]
    cell = max(held, key=lambda cell: getattr(cell, field))
    return Goal(f"{item}, worst: {cell.model} {cell.dtype} {cell.tokens:,}", getattr(cell, field), sign, limit)


def _share(cells: Sequence[Cell], field: str) -> float:
    return sum(getattr(cell, field) <= 1 for cell in cells) / len(cells)


def _print_goals(goals: Sequence[Goal]) -> None:
    columns = (
        Column("item", "goal"),
        Column("value", "value", "right", 0, "{:.3g}".format),
        Column("limit", "limit", "right"),
        Column("verdict", "verdict"),
    )
    rows = [
        {"item": goal.item, "value": goal.value, "limit": f"{goal.sign} {goal.limit:g}", "verdict": goal.verdict}
        for goal in goals
    ]
    print(render(columns, rows, "text", width=250))


def _print_host() -> None:
    host = probe.host()
    torch = "not installed" if peers is None else peers.version()
    print(f"{host['cpu_model']}, {host['cores']} cores, load average {_load()} at the start")
    print(f"Python {host['python']}, JAX {host['jax']}, XLA_FLAGS {host['xla_flags'] or 'not set'}")
    print(f"PyTorch {torch}, OMP_WAIT_POLICY {os.environ['OMP_WAIT_POLICY']}")


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "not known"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
