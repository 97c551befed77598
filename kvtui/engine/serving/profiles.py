"""Which engines and releases are known, and what each of them chooses when it is told nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.errors import InputError, UnknownName
from kvtui.engine.untrusted import plain

if TYPE_CHECKING:
    from kvtui.engine.device import DeviceSpec
    from kvtui.engine.formats import Format
    from kvtui.engine.model import ModelSpec

ENGINES = ("none", "vllm", "llama.cpp", "sglang", "tensorrt-llm")
NEWEST = {"vllm": "0.33", "llama.cpp": "", "sglang": "0.5.23", "tensorrt-llm": ""}

_ALIASES = {"llamacpp": "llama.cpp", "llama-cpp": "llama.cpp", "tensorrt": "tensorrt-llm", "trt-llm": "tensorrt-llm"}
_RELEASE = re.compile(r"[vb]?([0-9]{1,6}(?:\.[0-9]{1,6}){0,3})(?:[.+-]?[a-z][a-z0-9.+-]{0,40})?")
_OLDEST_VLLM, _NEWEST_VLLM = (0, 8), (0, 33)


class Engine(NamedTuple):
    """An engine and its release; an empty ``version`` means the newest one known."""

    name: str
    version: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


class Defaults(NamedTuple):
    """An engine's own choices: tokens of a block, tokens of one step, and share of usable memory."""

    block_size: int
    max_batched_tokens: int
    memory_utilization: float


def parse_engine(text: str) -> Engine:
    """The engine of ``vllm``, ``vllm@0.20``, ``llama.cpp@b6200`` or ``none``.

    Raises UnknownName for another engine, and InputError for a release that is not one, or that is not known.
    """
    name, at, version = text.strip().partition("@")
    key = name.strip().casefold()
    key = _ALIASES.get(key, key)
    if key not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    version = version.strip().casefold()
    if at and key == "none":
        raise InputError("engine: none has no release")
    if at and not _RELEASE.fullmatch(version):
        example = NEWEST[key] or ("b6200" if key == "llama.cpp" else "1.0")
        raise UnknownName("engine release", version, (f"{key}@{example}",))
    if key == "vllm":
        version = version.removeprefix("v")
        if version and not _OLDEST_VLLM <= release(version)[:2] <= _NEWEST_VLLM:
            known = f"{_dotted(_OLDEST_VLLM)} to {_dotted(_NEWEST_VLLM)}"
            raise InputError(f"engine: vllm releases {known} are known, not {version}")
    return Engine(key, version)


def release(version: str) -> tuple[int, ...]:
    """The numbers of a release: ``0.20.1rc2`` is (0, 20, 1) and ``b6200`` (6200,). Raises InputError without any."""
    match = _RELEASE.fullmatch(version)
    if match is None:
        raise InputError(f"engine: '{plain(version)}' is not a release")
    return tuple(map(int, match[1].split(".")))


def defaults(engine: Engine, model: ModelSpec, device: DeviceSpec) -> Defaults:
    """What ``engine`` chooses for ``model`` on ``device``."""
    match engine.name:
        case "vllm":
            from kvtui.engine.serving import vllm_rules

            return vllm_rules.defaults(vllm_rules.rules(engine.version), model, device)
        case "sglang":
            from kvtui.engine.serving import sglang

            return sglang.defaults(device)
        case "tensorrt-llm":
            from kvtui.engine.serving import tensorrt

            return tensorrt.DEFAULTS
        case _:
            from kvtui.engine.serving import llamacpp

            return llamacpp.DEFAULTS


def kv_formats(engine: str) -> tuple[str, ...] | None:
    """Names of the formats that ``engine`` can keep K and V in; None if it is not restricted here."""
    match engine:
        case "vllm":
            from kvtui.engine.serving import vllm_rules

            return vllm_rules.KV_FORMATS
        case "llama.cpp":
            from kvtui.engine.serving import llamacpp_buffers

            return llamacpp_buffers.KV_FORMATS
        case "sglang":
            from kvtui.engine.serving import sglang

            return sglang.KV_FORMATS
        case "tensorrt-llm":
            from kvtui.engine.serving import tensorrt

            return tensorrt.KV_FORMATS
    return None


def check_format(engine: str, form: Format) -> None:
    """Raises InputError when ``engine`` cannot keep K and V in ``form``."""
    allowed = kv_formats(engine)
    if allowed is not None and form.name not in allowed:
        raise InputError(f"kv-dtype: {engine} has no {form.name} cache; it has {', '.join(allowed)}")


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
