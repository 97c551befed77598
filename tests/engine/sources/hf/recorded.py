"""What transformers makes of the model types that generate text, as recorded, and how kvtui's reading compares.

The file ``transformers-5.24.jsonl.gz`` has a row per model type: the class-default config, that of its decoder
with windows of 16 tokens, the parameters of the instantiated model, and the bytes of K and V that 40 tokens left in its
cache in fp32.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import Experts, ModelSpec, cache_bytes
from kvtui.engine.sources.hf.config import model_from_config

DATA = Path(__file__).parents[3] / "data" / "hf"
TOKENS = 40

# transformers keeps what the rule names elsewhere, or was asked for less: the bytes that kvtui counts at 40 tokens.
CONVENTIONS = {
    "deepseek_v4": (
        1_818_624,
        "compressed entries are in tensors of their own, which the record does not count as K and V",
    ),
    "pegasus": (3_932_160, "measured with the 24 tokens of the encoder's prompt"),
    "prophetnet": (3_932_160, "measured with the 24 tokens of the encoder's prompt"),
}


@dataclass(frozen=True)
class Reading:
    """A row read by kvtui: ``verdict`` is read, partial (weights unknown), refused, wrong, or unmeasured."""

    type: str
    verdict: str
    said: str
    seconds: float = 0.0


@cache
def rows() -> tuple[dict[str, Any], ...]:
    text = gzip.decompress((DATA / "transformers-5.24.jsonl.gz").read_bytes()).decode()
    return tuple(json.loads(line) for line in text.splitlines())


def kept(spec: ModelSpec) -> int:
    """Bytes of K and V that ``TOKENS`` tokens keep in fp32: neither index keys nor states."""
    found = cache_bytes(spec.caches, TOKENS, FORMATS["fp32"])
    return found.growing + found.bounded


def router_biases(spec: ModelSpec) -> int:
    """Weights that released files have and transformers keeps as buffers: a number per expert of a scoring router."""
    return sum(
        tensor.parameters
        for layer in spec.layers
        for tensor in layer.tensors or ()
        if tensor.role == "router_bias" and layer.experts is not None and not _biased(layer.experts)
    )


def _biased(experts: Experts) -> bool:
    return any(tensor.role == "expert_bias" for tensor in experts.tensors)


def wrong_parameters(row: dict[str, Any]) -> str | None:
    """What is wrong with the weights that kvtui counts of the row's whole config; None if nothing is.

    A model with a tower for images or sound is recorded as a whole, or where transformers has a class of it alone, as
    its language model. Where kvtui counts the language model only, it says so.
    """
    if row["config"].get("is_decoder") is False:
        return None  # the encoder that this class is without is_decoder; the record made it a decoder
    spec = model_from_config(row["config"], row["type"], "config.json")
    want, found = row.get("parameters"), spec.parameters
    if want is None or found is None or any("language model only" in note for note in spec.notes):
        return None
    counted = found - router_biases(spec)
    towers = sum(tensor.parameters for tensor in spec.outside if tensor.role == "tower")
    return None if want in (counted, counted - towers) else f"parameters: {counted:,} instead of {want:,}"


def read(row: dict[str, Any]) -> Reading:
    """How kvtui reads ``row``."""
    if "config" not in row:
        return Reading(row["type"], "unmeasured", "the class has no default config")
    start = perf_counter()
    try:
        spec = model_from_config(row.get("config_window16", row["config"]), row["type"], "config.json")
    except InputError as error:
        return Reading(row["type"], "refused", str(error), perf_counter() - start)
    seconds = perf_counter() - start
    want = CONVENTIONS.get(row["type"], (row.get("kv_bytes_40_tokens_fp32"),))[0]
    if want is not None and kept(spec) != want:
        return Reading(row["type"], "wrong", f"cache: {kept(spec):,} instead of {want:,}", seconds)
    wrong = wrong_parameters(row)
    if wrong is not None:
        return Reading(row["type"], "wrong", wrong, seconds)
    if want is None:
        return Reading(row["type"], "unmeasured", "no cache was recorded", seconds)
    return Reading(row["type"], "partial" if spec.parameters is None else "read", "; ".join(spec.notes), seconds)
