"""What fits where: a scenario over all models, devices or formats, as a table that is worked out piece by piece.

Without an engine the devices of a line are evaluated together through ``grid``; with one, every cell is what the engine
itself allocates. An answer is the same as that of ``plan``, ``capacity`` and ``estimate`` for the cell's scenario.

What a line has in its own way is put into the scenario once, and each device into that, so that a whole line of 250
devices takes about as long as a few single cells.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from math import log
from typing import Any, Literal, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.checkpoint.known import format_key
from kvtui.engine.device.catalogue import all_devices
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import Engine, kv_formats, weight_formats
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.formats import KV_FORMATS, WEIGHT_FORMATS, canonical
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.allocation import slots
from kvtui.engine.planning.capacity import room
from kvtui.engine.planning.estimate import Estimate, timed
from kvtui.engine.planning.parts import Parts, budget, device_parts, holds, used
from kvtui.engine.planning.plan import devices_needed
from kvtui.engine.planning.roofline import Band
from kvtui.engine.planning.serve import serve
from kvtui.engine.planning.step import Step, decode_step
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario, usual_weights
from kvtui.engine.scenario.values import left_to_engine

MatrixSubject = Literal["models", "kv", "weights"]
VIEWS: dict[MatrixSubject, str] = {
    "models": "models × devices",
    "kv": "devices × KV formats",
    "weights": "devices × weight formats",
}
SLOW_PIECE, MANY = 8, 6
WITHOUT_ENGINE = (*WEIGHT_FORMATS, "w8a8", "w4a16", "awq", "gptq", "nf4")
MOST_NEEDED = 64
LEFT_TO_ENGINE = {"block_size", "max_batched_tokens", "memory_utilization"}

UNKNOWN = 2

MatrixPlace = tuple[int, int]


_GGUF = re.compile(r"i?q[1-8]_|tq[12]_")
"""Formats of GGUF files, which are written with capitals."""


class BestFormat(NamedTuple):
    """The least lossy formats in which a scenario fits, by name, and the most ``context`` (tokens) that they allow.

    ``risk`` is a level of ``risk.LEVELS``. Where nothing fits the names are empty, and the context is 0.
    """

    weights: str
    kv: str
    context: int
    risk: int = 0

    @property
    def words(self) -> str:
        """The formats for people: ``Q4_K_M + q8_0 KV``."""
        if not self.weights:
            return "no format fits"
        return f"{self.weights.upper() if _GGUF.match(self.weights) else self.weights} + {self.kv} KV"


class MatrixAnswer(NamedTuple):
    """What the devices of one scenario hold, and at which rate; ``reason`` says why there is no answer.

    ``used`` is the share of its budget (or KV pool) that the fullest device needs, and with an engine the scenario's
    share of the sequences that it runs at once; None if it runs none. ``context`` and ``sequences`` are as in
    ``Capacity``. ``needed`` devices would hold it (0: more than MOST_NEEDED), and ``best`` are the formats that fit;
    both are None until they are asked for. ``trained`` is the model's own maximum of tokens where it is known, and
    ``beyond`` whether the scenario asks for more: then no figure is one that the model can be asked for.
    """

    fits: bool = False
    used: float | None = None
    context: int | None = 0
    sequences: int | None = 0
    times: Estimate | None = None
    reason: str = ""
    needed: int | None = None
    best: BestFormat | None = None
    trained: int | None = None
    beyond: bool = False


class Metric(NamedTuple):
    """A figure of an answer: its ``value`` (None: unknown), infinite where memory sets no bound.

    ``key`` names it with its unit for programs. ``lower_is_better`` says which end of a column is the good one.
    ``scale`` are a poor and a good value: how good a figure is stands between them, by its order of magnitude.
    """

    key: str
    title: str
    value: Callable[[MatrixAnswer], float | Band | None]
    scale: tuple[float, float]
    lower_is_better: bool = False

    def goodness(self, answer: MatrixAnswer) -> float | None:
        """Where the figure stands from 0 for poor to 1 for good; None where there is none."""
        value = self.value(answer)
        if value is None:
            return None
        middle = (value.low + value.high) / 2 if isinstance(value, Band) else float(value)
        if middle <= 0:
            return 0.0
        poor, good = map(log, self.scale)
        return min(1.0, max(0.0, (log(middle) - poor) / (good - poor)))


def _unbounded(count: int | None) -> float:
    return float("inf") if count is None else count


def _best_context(answer: MatrixAnswer) -> float | None:
    return None if answer.best is None else float(answer.best.context)


METRICS = (
    Metric("used_share", "fits", lambda answer: answer.used, (1.0, 0.05), lower_is_better=True),
    Metric("max_context_tokens", "max context", lambda answer: _unbounded(answer.context), (2.0**12, 2.0**20)),
    Metric("max_sequences", "max sequences", lambda answer: _unbounded(answer.sequences), (1, 256)),
    Metric("best_context_tokens", "best format that fits", _best_context, (2.0**12, 2.0**18)),
    Metric("tokens_per_second", "tokens/s", lambda answer: answer.times and answer.times.tokens_per_second, (5, 500)),
    Metric(
        "usd_per_million_tokens",
        "$/M tokens",
        lambda answer: answer.times and answer.times.usd_per_million_tokens,
        (100, 0.5),
        lower_is_better=True,
    ),
    Metric(
        "joules_per_token",
        "J/token",
        lambda answer: answer.times and answer.times.joules_per_token,
        (30, 0.3),
        lower_is_better=True,
    ),
)
SEQUENCES, BEST_FORMAT = METRICS[2:4]


def sort_key(metric: Metric, answer: MatrixAnswer | None) -> tuple[int, float]:
    """Where ``answer`` stands in a column: the best that fits, what does not, what cannot be, what is not known yet.

    The first number is UNKNOWN or more where there is no figure.
    """
    if answer is None or answer.reason:
        return UNKNOWN + (answer is None), 0.0
    match metric.value(answer):
        case None:
            return UNKNOWN, 0.0
        case Band(low, high):
            middle = (low + high) / 2
        case number:
            middle = float(number)
    return int(not answer.fits or answer.beyond), middle if metric.lower_is_better else -middle


@dataclass(frozen=True)
class Matrix:
    """The scenario's ``view``: a cell for each of ``rows`` and ``columns`` (names of models, devices or formats)."""

    scenario: Scenario
    view: MatrixSubject
    models: tuple[ModelSpec, ...]
    devices: tuple[DeviceSpec, ...]
    formats: tuple[str, ...]
    _lines: dict[int, Scenario | InputError] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def rows(self) -> tuple[str, ...]:
        """The names of the rows."""
        return tuple(model.name for model in self.models) if self.view == "models" else self._device_names

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return self._device_names if self.view == "models" else self.formats

    def place(self, scenario: Scenario) -> MatrixPlace | None:
        """The cell whose scenario is ``scenario``; None if there is none."""
        try:
            device = self.devices.index(scenario.device)
            match self.view:
                case "models":
                    found = self.models.index(scenario.model), device
                case "kv":
                    found = device, self.formats.index(canonical(scenario.kv_dtype))
                case "weights":
                    found = device, self.formats.index(format_key(scenario.weight_dtype))
            return found if self.at(*found) == scenario else None
        except ValueError:
            return None

    def fields(self, row: int, column: int) -> dict[str, Any]:
        """The fields of the scenario that the cell has in its own way."""
        line, device = (row, column) if self.view == "models" else (column, row)
        return self._line_fields(line) | {"device": self.devices[device]}

    def at(self, row: int, column: int) -> Scenario:
        """The cell's scenario. Raises InputError where the scenario's own choices forbid it.

        What the scenario chose for the layout, the formats and the weights stays; what follows from the model, such as
        weights that a file holds, gives way.
        """
        line, device = (row, column) if self.view == "models" else (column, row)
        return self._on_device(line, self.devices[device])

    @property
    def together(self) -> bool:
        """Whether all devices of a line are answered at about the price of one."""
        return self.scenario.engine == "none" and self.scenario.flash_attention

    def same_cells(self, scenario: Scenario) -> bool:
        """Whether the table of ``scenario`` would have the cells of this one."""
        own = self._own_fields(scenario)
        chosen = set(scenario._fields) - own.keys() - LEFT_TO_ENGINE
        if all(one.weight_dtype == usual_weights(one.model) for one in (scenario, self.scenario)):
            chosen.discard("weight_dtype")
        if any(getattr(scenario, name) != getattr(self.scenario, name) for name in chosen):
            return False
        try:
            if _changed(self.scenario, own) != scenario:
                return False
        except InputError:
            return False
        other = table(scenario, self.view)
        return (other.models, other.devices, other.formats) == (self.models, self.devices, self.formats)

    @property
    def _device_names(self) -> tuple[str, ...]:
        return tuple(device.name for device in self.devices)

    @property
    def line_count(self) -> int:
        """Rows of cells: one per model, or per format."""
        return len(self.models if self.view == "models" else self.formats)

    def _line_fields(self, line: int) -> dict[str, Any]:
        match self.view:
            case "models":
                model = self.models[line]
                own = model is self.scenario.model
                return {"model": model, "model_ref": self.scenario.model_ref if own else model.name}
            case "kv":
                return {"kv_dtype": self.formats[line]}
            case "weights":
                return {"weight_dtype": self.formats[line]}

    def _on_device(self, line: int, device: DeviceSpec) -> Scenario:
        """As ``adapted`` has it, for which nothing hangs on the device but a measured bandwidth and an engine's own."""
        chosen, scenario = self._line_fields(line), self.scenario
        if line not in self._lines:
            try:
                self._lines[line] = _changed(scenario, chosen)
            except InputError as error:
                self._lines[line] = error
        changed = self._lines[line]
        if isinstance(changed, InputError):
            raise changed
        if device is scenario.device:
            return changed
        engine = Engine(scenario.engine, scenario.serving.version)
        kv = chosen.get("kv_dtype", scenario.kv_dtype)
        left: dict[str, Any] = left_to_engine(scenario, engine, changed.model, device, kv)
        own = {name: value for name, value in left.items() if name not in chosen}
        return changed._replace(device=device, bandwidth_gbs=None, **own)

    def _own_fields(self, scenario: Scenario) -> dict[str, Any]:
        names = {"models": ("model", "model_ref"), "kv": ("kv_dtype",), "weights": ("weight_dtype",)}[self.view]
        return {name: getattr(scenario, name) for name in ("device", *names)}


class Piece(NamedTuple):
    """Cells of one ``line`` (a model, or a format) for some ``devices``, to be worked out together."""

    line: int
    devices: tuple[int, ...]


def table(scenario: Scenario, view: MatrixSubject) -> Matrix:
    """The table of ``scenario``, with a model or device of its own first if no catalogue has it.

    Raises InputError if the user's catalogues are wrong.
    """
    models, devices = all_models(), all_devices()
    if all(model is not scenario.model for model in models):
        models = (scenario.model, *(model for model in models if model.name != scenario.model.name))
    if scenario.device not in devices:
        devices = (scenario.device, *devices)
    return Matrix(scenario, view, models, devices, _formats(scenario, view))


def places(table: Matrix, piece: Piece) -> tuple[MatrixPlace, ...]:
    """Row and column of each cell of ``piece``."""
    if table.view == "models":
        return tuple((piece.line, device) for device in piece.devices)
    return tuple((device, piece.line) for device in piece.devices)


def evaluate(table: Matrix, piece: Piece) -> tuple[MatrixAnswer, ...]:
    """The answers of the cells of ``piece``, in the order of ``places``."""
    found: list[Scenario | str] = []
    for place in places(table, piece):
        try:
            found.append(table.at(*place))
        except InputError as error:
            found.append(str(error))
    known = iter(answers([scenario for scenario in found if isinstance(scenario, Scenario)]))
    return tuple(MatrixAnswer(reason=item) if isinstance(item, str) else next(known) for item in found)


def answers(scenarios: Sequence[Scenario]) -> list[MatrixAnswer]:
    """The answer of each of ``scenarios``, which differ only in the device and in what their engine makes of it.

    With a KV pool, which of several pipeline stages is the fullest depends on the device.
    """
    first = scenarios[0] if scenarios else None
    if first is None or first.engine != "none" or (first.kv_pool is not None and first.layout.pp > 1):
        return [answer(scenario) for scenario in scenarios]
    found: dict[int, MatrixAnswer] = {}
    order = sorted(range(len(scenarios)), key=lambda i: _shape(scenarios[i]))
    for _, members in groupby(order, key=lambda i: _shape(scenarios[i])):
        places = list(members)
        group = [scenarios[i] for i in places]
        found |= zip(places, _planned(group) if len(group) >= MANY else map(answer, group), strict=True)
    return [found[i] for i in range(len(scenarios))]


def needed(scenario: Scenario) -> int:
    """The fewest devices that hold ``scenario``, as its plan says; 0 for more than MOST_NEEDED, or for none."""
    try:
        return devices_needed(scenario, MOST_NEEDED) or 0
    except InputError:
        return 0


def answer(scenario: Scenario) -> MatrixAnswer:
    """The answer of one scenario."""
    try:
        if scenario.engine != "none":
            return _served(scenario)
        parts = device_parts(scenario, scenario.context, scenario.batch)
        held = holds(scenario, parts)
        found = room(scenario, None)
        return _answer(scenario, parts, held, found.context, found.sequences, _step(scenario))
    except InputError as error:
        return MatrixAnswer(reason=str(error))


def _planned(scenarios: list[Scenario]) -> Iterator[MatrixAnswer]:
    """The answers without an engine for devices on which everything takes the same bytes.

    Numpy is loaded here, since single answers do without it.
    """
    import numpy as np

    from kvtui.engine.planning import grid

    first = scenarios[0]
    alone = first._replace(lengths=None, shared_prefix=0)
    try:
        parts = device_parts(first, first.context, first.batch)
        budgets = np.array([budget(scenario) for scenario in scenarios])
        needs = grid.Needs(np.array(parts.total), np.array(parts.cache))
        held = grid.fits(first, needs, budgets).tolist()
        contexts = grid.most_context(alone, np.array(first.batch), budgets).tolist()
        sequences = grid.most_sequences(alone, np.array(first.context), budgets).tolist()
    except InputError as error:
        yield from [MatrixAnswer(reason=str(error))] * len(scenarios)
        return
    step = _step(first)
    for scenario, fit, context, many in zip(scenarios, held, contexts, sequences, strict=True):
        longest = None if context == MAX_TOKENS else context
        most = None if many == MAX_BATCH else many
        yield _answer(scenario, parts, fit, longest, most, step)


def _answer(
    scenario: Scenario, parts: Parts, held: bool, context: int | None, sequences: int | None, step: Step
) -> MatrixAnswer:
    full = used(scenario, parts)
    times = timed(scenario, step if held else None)
    return MatrixAnswer(held, full, context, sequences, times, **_trained(scenario))


def _served(scenario: Scenario) -> MatrixAnswer:
    served = serve(scenario)
    assert served is not None
    found = room(scenario, served)
    held = served.starts and (found.sequences or 0) >= scenario.batch
    full = scenario.batch / found.sequences if found.sequences else None
    times = timed(scenario, _step(scenario) if held else None)
    return MatrixAnswer(held, full, found.context, found.sequences, times, **_trained(scenario))


def _trained(scenario: Scenario) -> dict[str, Any]:
    """The model's own maximum, and whether the scenario is beyond it."""
    trained = scenario.model.max_context
    return {"trained": trained, "beyond": trained is not None and scenario.context > trained}


def _step(scenario: Scenario) -> Step:
    return decode_step(scenario, slots(scenario, scenario.context, scenario.batch))


def _shape(scenario: Scenario) -> tuple[float, ...]:
    """What of the device changes how many bytes are needed: without FlashAttention, the score matrix's bounds."""
    return () if scenario.flash_attention else (scenario.device.tile, scenario.device.nominal_gb)


def _changed(scenario: Scenario, chosen: dict[str, Any]) -> Scenario:
    kept = {name: getattr(scenario, name) for name in ("layout", "kv_dtype", "skip_weights")}
    return adapted(scenario, kept | chosen)[0]


def _formats(scenario: Scenario, view: MatrixSubject) -> tuple[str, ...]:
    if view == "weights":
        stored = (FILE_WEIGHTS,) if scenario.model.weight_bytes is not None else ()
        offered = weight_formats(scenario.engine) or WITHOUT_ENGINE
        own = format_key(scenario.weight_dtype)
        return stored + (() if own in (*stored, *offered) else (own,)) + offered
    if view == "models" or scenario.engine == "none":
        return KV_FORMATS
    return kv_formats(scenario.engine) or KV_FORMATS
