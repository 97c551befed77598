"""The serving engines: one row each, their releases and formats, and what each chooses when it is told nothing.

Everything else about an engine is in its folder of ``kvtui.engine.serving``, one module per part, and is loaded when it
is asked for: ``releases`` (below everything that knows a scenario), ``serve``, ``levers``, ``log``, ``components`` and
``flags``.
"""

import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.formats import APART

if TYPE_CHECKING:
    from kvtui.engine.device.spec import DeviceSpec
    from kvtui.engine.model.formats import Format
    from kvtui.engine.model.spec import ModelSpec


class Known(NamedTuple):
    """An engine that kvtui knows: its ``name`` as an option, its maker's ``title`` for it, its ``folder``.

    ``aliases`` are other names for it, and ``log_unit`` is how many bytes the unit has in which its boot log gives
    sizes. ``places`` says whether it gives each device whole layers, and leaves to the machine's RAM what it is told
    to.
    """

    name: str
    title: str
    folder: str
    aliases: tuple[str, ...] = ()
    log_unit: int = GIB
    places: bool = False


KNOWN = (
    Known("vllm", "vLLM", "vllm"),
    Known("llama.cpp", "llama.cpp", "llamacpp", ("llamacpp", "llama-cpp"), log_unit=MIB, places=True),
    Known("sglang", "SGLang", "sglang"),
    Known("tensorrt-llm", "TensorRT-LLM", "tensorrt", ("tensorrt", "trt-llm")),
)
ENGINES = ("none", *(known.name for known in KNOWN))

_ROWS = {known.name: known for known in KNOWN}
_ALIASES = {alias: known.name for known in KNOWN for alias in known.aliases}
_RELEASE = re.compile(r"[vb]?([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})(?:[.+-]?[a-z][a-z0-9.+-]{0,40})?")


class Engine(NamedTuple):
    """An engine and its release; an empty ``version`` means the newest one known."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


class ReleaseSpan(NamedTuple):
    """The ``oldest`` and ``newest`` release whose rules are known; empty where all are taken. ``example`` is one."""

    oldest: str
    newest: str
    example: str


class EngineDefaults(NamedTuple):
    """An engine's own choices: tokens of a block, tokens of one step, and share of usable memory.

    ``weight_dtype`` is the format of weights that it takes where it is not the published one.
    """

    block_size: int
    max_batched_tokens: int
    memory_utilization: float
    weight_dtype: str | None = None


class Milestone(NamedTuple):
    """A release that is worth a row of its own, and its ``news``: what is new in it, in words."""

    version: str
    news: str


LargerStages = Literal["first", "before the last"]
"""Where an engine puts the pipeline stages that have a layer more than the others."""


@cache
def part(engine: str, name: str) -> Any:
    """The module ``name`` of an engine's folder."""
    return import_module(f"kvtui.engine.serving.{_ROWS[engine].folder}.{name}")


def span(engine: str) -> ReleaseSpan:
    """The releases of ``engine`` that are known."""
    found: ReleaseSpan = part(engine, "releases").SPAN
    return found


def milestones(engine: str) -> tuple[Milestone, ...]:
    """The releases of ``engine`` in which what it allocates changed, the newest known first; none if all are alike."""
    if engine == "none":
        return ()
    found: tuple[Milestone, ...] = part(engine, "releases").MILESTONES
    return found


def larger_stages(engine: str) -> LargerStages:
    """Where ``engine`` puts the pipeline stages with a layer more; without an engine, first."""
    if engine == "none":
        return "first"
    found: LargerStages = part(engine, "releases").LARGER_STAGES
    return found


def applies_windows(engine: str, model: "ModelSpec") -> bool:
    """Whether ``engine`` keeps the windows that ``model`` states, and not all tokens; without an engine, yes."""
    return engine == "none" or bool(part(engine, "releases").applies_windows(model))


def divides_experts(engine: str) -> bool:
    """Whether ``engine`` can divide whole experts over ranks; without an engine, yes."""
    return engine == "none" or bool(part(engine, "releases").EXPERT_PARALLEL)


def joins_replicas(engine: str) -> bool:
    """Whether replicas under ``engine`` are one server, with experts in common whatever it is told; without one, no."""
    return engine != "none" and bool(part(engine, "releases").JOINED_REPLICAS)


def places_layers(engine: str) -> bool:
    """Whether ``engine`` puts whole layers on devices or in RAM; without an engine, no."""
    return engine != "none" and _ROWS[engine].places


def parse_engine(text: str) -> Engine:
    """The engine of ``vllm``, ``vllm@0.20``, ``llama.cpp@b6200`` or ``none``.

    Raises UnknownName for another engine, and InputError for a release that is not one, or that is not known.
    """
    name, at, version = text.strip().partition("@")
    key = name.strip().casefold()
    key = _ALIASES.get(key, key)
    if key not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    if not at:
        return Engine(key)
    if key == "none":
        raise InputError("engine: none has no release")
    version, known = version.strip().casefold(), span(key)
    if not _RELEASE.fullmatch(version):
        raise UnknownName("engine release", version, (f"{key}@{known.example}",))
    if known.oldest:
        version = version.removeprefix("v")
        if not release(known.oldest) <= release(version)[:2] <= release(known.newest):
            raise InputError(f"engine: {key} releases {known.oldest} to {known.newest} are known, not {version}")
    return Engine(key, version)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a release: ``0.20.1rc2`` is (0, 20, 1) and ``b6200`` (6200,). Raises InputError without any."""
    match = _RELEASE.fullmatch(version)
    if match is None:
        raise InputError(f"engine: '{plain(version)}' is not a release")
    return tuple(map(int, match[1].split(".")))


def defaults(engine: Engine, model: "ModelSpec", device: "DeviceSpec", kv: str) -> EngineDefaults:
    """What ``engine`` chooses for ``model`` on ``device`` with a cache in the format ``kv``."""
    found: EngineDefaults = part(engine.name, "releases").defaults(engine.version, model, device, kv)
    return found


def kv_formats(engine: str) -> tuple[str, ...] | None:
    """Names of the formats that ``engine`` can keep K and V in; None if it is not restricted here."""
    if engine == "none":
        return None
    found: tuple[str, ...] = part(engine, "releases").KV_FORMATS
    return found


def weight_formats(engine: str) -> tuple[str, ...] | None:
    """Names of the formats of weights that ``engine`` runs, those worth a column; None without an engine."""
    if engine == "none":
        return None
    found: tuple[str, ...] = part(engine, "releases").WEIGHT_FORMATS
    return found


def loads_weights(engine: str, name: str) -> bool:
    """Whether ``engine`` is known to run weights in the format ``name``, whatever its groups and what it leaves out.

    Example: vLLM runs awq-g32 and nvfp4-mlp, since it runs awq and nvfp4; it runs no mlx-4bit. Without an engine, yes.
    """
    known = weight_formats(engine)
    if known is not None and part(engine, "releases").LOADS_GGUF:
        from kvtui.engine.checkpoint.gguf.named import file_type_key

        return name in (*known, *part(engine, "releases").REPACKED) or file_type_key(name) is not None
    return known is None or any(name == form or name.startswith(f"{form}-") for form in known)


def check_format(engine: str, form: "Format") -> None:
    """Raises InputError when ``engine`` cannot keep K and V in ``form``."""
    allowed = kv_formats(engine)
    if allowed is None:
        return
    pair = form.name.split(APART)
    if len(pair) > 1 and not part(engine, "releases").KV_APART:
        raise InputError(f"kv-dtype: {engine} keeps K and V in one format, not in {' and '.join(pair)}")
    for name in pair:
        if name not in allowed:
            raise InputError(f"kv-dtype: {engine} has no {name} cache; it has {', '.join(allowed)}")
