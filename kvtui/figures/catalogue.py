"""Every figure there is: its question, what it is drawn from, its parameters, and how it is built.

A ``CatalogueFigure`` is drawn from one of four kinds of source. "scenario" is the current scenario alone, "models" the
same with up to four models in its place, "shape" nothing but the parameters, and "run" what was measured: the rows of a
table or, for ``reads`` "decode", results by variant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal, NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import format_tokens, parse_count, parse_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.estimators import DTYPES, FFN_MATRICES, parse_ratio
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures import (
    cache,
    decode,
    estimates,
    latent,
    quality,
    replay,
    serving,
    speculation,
    sweep,
    training,
    training_memory,
    what_if,
)
from kvtui.figures import roofline as roofline_plot
from kvtui.figures.figure import Figure
from kvtui.figures.scenarios import overlay

FigureSource = Literal["scenario", "models", "shape", "run"]
RunTable = Literal["", "sweep", "decode", "trained", "batches", "curves", "replay"]
COMES_WITH_KVTUI = ("trained", "batches", "curves", "replay")
"""The tables of which some come with kvtui, so that their figures are drawn before anything was measured."""
ParameterKind = Literal["count", "counts", "tokens", "token counts", "gigabytes", "ratio", "choice"]
ParameterValues = Mapping[str, Any]

MOST_COUNT, MOST_COUNTS, MOST_GB = 1_000_000, 16, 1_000_000.0


class Parameter(NamedTuple):
    """A parameter of a figure: its ``name``, what it ``means``, its ``kind`` and ``default``.

    A default of None is chosen by the figure, from the scenario. ``choices`` are all values of a "choice".
    """

    name: str
    means: str
    kind: ParameterKind
    default: Any = None
    choices: tuple[str, ...] = ()

    def parse(self, text: str) -> Any:
        """The value that ``text`` stands for; None for an empty text where the figure chooses.

        Raises InputError, naming the parameter.
        """
        word = text.strip()
        if not word and self.default is None:
            return None
        match self.kind:
            case "count":
                return parse_count(word, self.name, MOST_COUNT)
            case "counts":
                return tuple(parse_count(part, self.name, MOST_COUNT) for part in self._parts(word))
            case "tokens":
                return parse_tokens(word, self.name)
            case "token counts":
                return tuple(parse_tokens(part, self.name) for part in self._parts(word))
            case "ratio":
                return parse_ratio(word, self.name)
            case "gigabytes":
                return self._gigabytes(word)
            case "choice":
                if word not in self.choices:
                    raise UnknownName(self.name, word, self.choices)
                return word

    def show(self, value: Any) -> str:
        """``value`` as text that ``parse`` reads; empty for None."""
        match self.kind:
            case _ if value is None:
                return ""
            case "counts":
                return ",".join(map(str, value))
            case "tokens":
                return format_tokens(value).replace(",", "")
            case "token counts":
                return ",".join(format_tokens(one).replace(",", "") for one in value)
            case "ratio":
                return ":".join(map(str, value))
            case "gigabytes":
                return f"{value:g}"
        return str(value)

    def _parts(self, text: str) -> list[str]:
        parts = text.split(",")
        if len(parts) > MOST_COUNTS:
            raise InputError(f"{self.name}: {len(parts)} values, more than {MOST_COUNTS}")
        return parts

    def _gigabytes(self, text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = 0.0
        if not 0.1 <= found <= MOST_GB:
            raise InputError(f"{self.name}: '{plain(text)}' is not a number of GB from 0.1 to {MOST_GB:,.0f}")
        return found


class CatalogueFigure(NamedTuple):
    """A figure of the catalogue. ``function`` takes its source (none for a "shape") and ``parameters`` by name.

    ``group`` is the heading it stands under; ``reads`` is what a "run" must be.
    """

    id: str
    title: str
    question: str
    group: str
    source: FigureSource
    function: Callable[..., Figure]
    parameters: tuple[Parameter, ...] = ()
    reads: RunTable = ""

    @property
    def defaults(self) -> dict[str, Any]:
        """Every parameter's default by name."""
        return {one.name: one.default for one in self.parameters}


def parse_values(entry: CatalogueFigure, texts: Mapping[str, str]) -> dict[str, Any]:
    """The entry's parameters with those of ``texts`` read. Raises InputError, for an unknown name too."""
    known = {one.name: one for one in entry.parameters}
    for name in texts:
        if name not in known:
            raise UnknownName(f"parameter of {entry.id}", name, known)
    return {**entry.defaults, **{name: known[name].parse(text) for name, text in texts.items()}}


def find_entry(id: str) -> CatalogueFigure:
    """The entry called ``id``. Raises UnknownName."""
    found = next((entry for entry in ENTRIES if entry.id == id), None)
    if found is None:
        raise UnknownName("figure", id, [entry.id for entry in ENTRIES])
    return found


def build(
    entry: CatalogueFigure,
    scenario: Scenario | None = None,
    models: Iterable[ModelSpec] = (),
    measured: Any = (),
    values: ParameterValues | None = None,
) -> Figure:
    """The figure of ``entry`` with the parameter ``values``, of ``scenario`` (and ``models``) or of what was measured.

    ``measured`` are rows; for "decode" results by variant. Raises InputError when the source does not suit.
    """
    chosen = {**entry.defaults, **(values or {})}
    match entry.source:
        case "shape":
            return entry.function(**chosen)
        case "run":
            return entry.function(measured, **chosen)
    if scenario is None:
        raise InputError(f"{entry.id}: needs a scenario")
    if entry.source == "scenario":
        return entry.function(scenario, **chosen)
    scenarios, notes = overlay(scenario, models)
    found = entry.function(scenarios, **chosen)
    return replace(found, notes=(*found.notes, *notes))


LONGEST = Parameter("longest", "longest context", "tokens")
LARGEST = Parameter("largest", "largest batch", "count")
EMB_DIM = Parameter("emb_dim", "width", "count", 2048)
HEADS = Parameter("heads", "attention heads", "count", 16)
LAYERS = Parameter("layers", "layers", "count", 48)
BATCH = Parameter("batch", "sequences", "count", 1)
DTYPE = Parameter("dtype", "element format", "choice", "bf16", DTYPES)
FAMILY_DTYPE = Parameter("dtype", "element format", "choice", "fp32", ("fp32", "bf16"))
DIM = Parameter("dim", "width", "count", 512)
BLOCKS = Parameter("blocks", "layers", "count", 12)
HEAD_DIM = Parameter("head_dim", "elements of a head", "count", 32)
QUERIES = Parameter("queries", "query heads of a KV head", "count", 4)
LATENT = Parameter("latent", "elements of the latent", "count", 64)
ROPE = Parameter("rope", "rotary elements beside it", "count", 16)
LATENTS = Parameter("latents", "elements of the latents", "counts", latent.LATENTS)
SEQUENCES = Parameter("batch", "sequences", "count", 8)
CONTEXT = Parameter("context", "tokens of a sequence", "tokens", 512)


def _default(parameter: Parameter, value: Any) -> Parameter:
    return parameter._replace(default=value)


_PLANNED = (
    CatalogueFigure(
        *cache.KV_CONTEXT,
        "memory",
        "models",
        cache.sequence_by_context,
        (LONGEST,),
    ),
    CatalogueFigure(
        *cache.MEMORY_CONTEXT,
        "memory",
        "models",
        cache.memory_by_context,
        (LONGEST,),
    ),
    CatalogueFigure(
        *cache.MEMORY_BATCH,
        "memory",
        "models",
        cache.memory_by_batch,
        (LARGEST,),
    ),
    CatalogueFigure(
        *cache.MEMORY_MAP,
        "memory",
        "scenario",
        cache.memory_map,
        (LONGEST, LARGEST),
    ),
    CatalogueFigure(
        *cache.FRONTIER,
        "memory",
        "models",
        cache.frontier,
        (LONGEST,),
    ),
    CatalogueFigure(
        *cache.CONTEXT_MEMORY,
        "memory",
        "models",
        cache.context_by_memory,
        (
            Parameter("least_gb", "least memory of a device in GB", "gigabytes", 4.0),
            Parameter("most_gb", "most memory of a device in GB", "gigabytes", 640.0),
        ),
    ),
    CatalogueFigure(
        *cache.PARTS,
        "memory",
        "models",
        cache.parts,
    ),
    CatalogueFigure(
        *cache.LAYER_KINDS,
        "memory",
        "scenario",
        cache.layer_kinds,
        (Parameter("contexts", "contexts to compare", "token counts", (8192, 32_768, 131_072)),),
    ),
    CatalogueFigure(
        *cache.FORMAT_SIZES,
        "memory",
        "scenario",
        cache.formats,
    ),
    CatalogueFigure(
        *cache.CATALOGUE,
        "memory",
        "scenario",
        cache.catalogue,
    ),
    CatalogueFigure(*what_if.WHAT_IF, "memory", "scenario", what_if.beside),
    CatalogueFigure(
        *cache.SPEED_MAP,
        "speed",
        "scenario",
        cache.speed_map,
        (LONGEST, LARGEST),
    ),
    CatalogueFigure(
        *serving.SPEED_CONTEXT,
        "speed",
        "models",
        serving.speed_by_context,
        (LONGEST,),
    ),
    CatalogueFigure(
        *serving.SPEED_BATCH,
        "speed",
        "models",
        serving.speed_by_batch,
        (LARGEST,),
    ),
    CatalogueFigure(
        *roofline_plot.DEVICE_ROOFLINE,
        "speed",
        "models",
        roofline_plot.device,
        (LARGEST,),
    ),
    CatalogueFigure(
        *serving.THROUGHPUT_MEMORY,
        "speed",
        "models",
        serving.throughput_by_memory,
        (
            Parameter("least_gb", "least memory of a device in GB", "gigabytes"),
            Parameter("most_gb", "most memory of a device in GB", "gigabytes"),
        ),
    ),
    CatalogueFigure(
        *serving.VARIANTS_MEMORY,
        "speed",
        "scenario",
        serving.variants_by_memory,
        (
            _default(DIM, 4096),
            _default(BLOCKS, 32),
            _default(HEAD_DIM, 128),
            _default(LATENT, 512),
            _default(ROPE, 64),
        ),
    ),
    CatalogueFigure(
        *serving.SERVING_SURFACE,
        "speed",
        "scenario",
        serving.serving_surface,
        (
            Parameter("least_gb", "least memory of a device in GB", "gigabytes"),
            Parameter("most_gb", "most memory of a device in GB", "gigabytes"),
            LONGEST,
        ),
    ),
)

_SPECULATION = CatalogueFigure(
    *speculation.SPECULATION,
    "speed",
    "scenario",
    speculation.by_drafts_and_acceptance,
    (
        Parameter("most", "most drafted tokens", "count", 12),
        Parameter("percent", "weights of a drafter where none is known, in % of the model's", "count", 5),
    ),
)

_SHAPES = (
    _SPECULATION,
    CatalogueFigure(
        *estimates.ESTIMATE_GQA,
        "estimates",
        "shape",
        estimates.groups_by_context,
        (
            EMB_DIM,
            HEADS,
            LAYERS,
            BATCH,
            DTYPE,
            Parameter("queries", "query heads of a KV head", "counts", (2, 4, 8, 16)),
        ),
    ),
    CatalogueFigure(
        *estimates.ESTIMATE_MLA,
        "estimates",
        "shape",
        estimates.latents_by_context,
        (
            EMB_DIM,
            HEADS,
            LAYERS,
            BATCH,
            DTYPE,
            Parameter("latents", "elements of the latents", "counts", (1024, 512, 256, 64)),
            QUERIES,
            _default(ROPE, 64),
        ),
    ),
    CatalogueFigure(
        *estimates.ESTIMATE_SWA,
        "estimates",
        "shape",
        estimates.windows_by_context,
        (
            _default(EMB_DIM, 4096),
            _default(HEADS, 32),
            _default(LAYERS, 36),
            BATCH,
            DTYPE,
            Parameter("window", "tokens of a window", "tokens", 2048),
            Parameter("ratio", "windowed to full layers", "ratio", (5, 1)),
            QUERIES,
        ),
    ),
    CatalogueFigure(
        *estimates.ESTIMATE_DELTANET,
        "estimates",
        "shape",
        estimates.states_by_context,
        (
            EMB_DIM,
            HEADS,
            LAYERS,
            BATCH,
            DTYPE,
            Parameter("ratio", "DeltaNet to full attention layers", "ratio", (3, 1)),
        ),
    ),
    CatalogueFigure(
        *estimates.ESTIMATE_MOE,
        "estimates",
        "shape",
        estimates.experts_by_count,
        (
            _default(EMB_DIM, 7168),
            Parameter("hidden", "width of the dense layer", "count", 28_672),
            Parameter("active", "experts of a token", "count", 8),
            Parameter("ffn", "kind of feed-forward layer", "choice", "swiglu", tuple(FFN_MATRICES)),
            DTYPE,
        ),
    ),
    CatalogueFigure(
        *training_memory.TRAINING_MEMORY,
        "estimates",
        "scenario",
        training_memory.of_scenario,
        (
            Parameter("context", "tokens of a sequence", "tokens", 2048),
            Parameter("batch", "sequences of a device", "count", 1),
            *(Parameter(name, name, "choice", words[0], words) for name, words in training_memory.CHOICES.items()),
            Parameter("devices", "devices that share", "count", training_memory.USUAL),
        ),
    ),
    CatalogueFigure(
        *serving.EXTRAPOLATION,
        "shapes",
        "shape",
        serving.extrapolation,
        (DIM, BLOCKS, HEAD_DIM, LATENT, ROPE, SEQUENCES, FAMILY_DTYPE, _default(LONGEST, 131_072)),
    ),
    CatalogueFigure(
        *serving.CACHE_SURFACE,
        "shapes",
        "shape",
        serving.cache_surface,
        (BLOCKS, HEAD_DIM, QUERIES, LATENT, ROPE, SEQUENCES, FAMILY_DTYPE),
    ),
    CatalogueFigure(
        *latent.CACHE_DEPTH,
        "shapes",
        "shape",
        latent.depths,
        (
            HEAD_DIM,
            QUERIES,
            LATENT,
            ROPE,
            CONTEXT,
            FAMILY_DTYPE,
            Parameter("blocks", "layers to compare", "counts", (8, 12, 16)),
            _default(DIM, 256),
        ),
    ),
    CatalogueFigure(
        *latent.LATENT_DIAL,
        "latent",
        "shape",
        latent.dial,
        (_default(DIM, 256), BLOCKS, HEAD_DIM, QUERIES, ROPE, CONTEXT, FAMILY_DTYPE, LATENTS),
    ),
    CatalogueFigure(
        *latent.LATENT_WORK,
        "latent",
        "shape",
        latent.work,
        (
            _default(DIM, 256),
            BLOCKS,
            HEAD_DIM,
            QUERIES,
            _default(LATENT, 96),
            _default(ROPE, 24),
            _default(CONTEXT, 256),
            FAMILY_DTYPE,
        ),
    ),
    CatalogueFigure(
        *latent.LATENT_SURFACE,
        "latent",
        "shape",
        latent.by_context,
        (DIM, BLOCKS, HEAD_DIM, QUERIES, ROPE, SEQUENCES, FAMILY_DTYPE, _default(LONGEST, 131_072), LATENTS),
    ),
    CatalogueFigure(
        *latent.DECOUPLING,
        "latent",
        "shape",
        latent.decoupling,
        (BLOCKS, HEAD_DIM, QUERIES, ROPE, CONTEXT, FAMILY_DTYPE, _default(LATENTS, (32, 64, 128, 256))),
    ),
    CatalogueFigure(
        *latent.LATENT_DEPTH,
        "latent",
        "shape",
        latent.by_depth,
        (
            DIM,
            HEAD_DIM,
            QUERIES,
            ROPE,
            BATCH,
            FAMILY_DTYPE,
            Parameter("contexts", "contexts, a panel each", "token counts", latent.DEPTH_CONTEXTS),
            LATENTS,
        ),
    ),
)


def _measured(
    functions: Mapping[str, Callable[..., Figure]], group: str, reads: RunTable
) -> tuple[CatalogueFigure, ...]:
    """An entry for each function of measured rows; title and question are those it gives without rows."""
    empty = {id: function({} if reads in ("decode", "curves", "replay") else []) for id, function in functions.items()}
    return tuple(
        CatalogueFigure(id, empty[id].title, empty[id].question, group, "run", function, reads=reads)
        for id, function in functions.items()
    )


ENTRIES: tuple[CatalogueFigure, ...] = (
    *_PLANNED,
    *_SHAPES,
    *_measured(sweep.FIGURES, "sweep", "sweep"),
    *_measured({"decode": decode.panels}, "sweep", "decode"),
    *_measured(quality.TRAINED, "trained", "trained"),
    *_measured(quality.BATCHES, "trained", "batches"),
    *_measured({"training": training.curves}, "trained", "curves"),
    *_measured(replay.REPLAYED, "replay", "replay"),
)
