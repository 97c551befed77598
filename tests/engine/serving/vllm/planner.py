"""Recorded answers of vLLM's own planning code, as scenarios and as what it answered.

The file's ``schema`` says how they were recorded: on a Hopper device, the whole package of 0.33 and 0.32, and the
planning modules of older releases. ``kvtui_differs_in`` is history, not an expectation.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.caches import (
    Attention,
    Cache,
    Indexer,
    Latent,
    Recurrent,
    Shared,
    gated_deltanet,
    kda,
    lightning,
    mamba1,
    mamba2,
    short_conv,
)
from kvtui.engine.model.spec import Layer, ModelSpec
from kvtui.engine.scenario.scenario import Layout, Scenario, ServingOptions
from kvtui.engine.serving.vllm.releases import rules
from kvtui.engine.serving.vllm.serve import Layered, layered, serve
from tests.paths import DATA

_KINDS = {
    "FullAttention": "full",
    "MLAAttention": "full",
    "SlidingWindow": "window",
    "SlidingWindowMLA": "window",
    "ChunkedLocalAttention": "chunk",
    "CrossAttention": "cross",
    "Mamba": "state",
}


class Recorded(NamedTuple):
    """One recorded case: its name, the scenario without a pool, and what the engine answered."""

    name: str
    scenario: Scenario
    expected: dict[str, Any]


def recorded(text: str | None = None) -> list[Recorded]:
    """All recorded cases of the file, or of ``text``."""
    cases = json.loads(text or (DATA / "vllm" / "planner.json").read_text())["cases"]
    return [Recorded(case["id"], _scenario(case), case["expected"]) for case in cases]


def answered(case: Recorded) -> dict[str, Any]:
    """What this package answers to ``case``, in the recording's own terms; a group's layers are counted by kind."""
    found = rules(case.scenario.serving.version)
    laid = layered(case.scenario, found)
    sizes = [laid.grouping.block_bytes(stage) for stage in range(laid.stages)]
    pools = []
    for pool in case.expected["pools"]:
        one = serve(case.scenario._replace(kv_pool=pool["pool"]))
        pools.append(
            {
                "pool": pool["pool"],
                "starts": one.fits,
                "num_blocks": one.blocks,
                "max_concurrency": round(float(one.max_concurrency), 9) if one.fits else None,
                "logged_tokens": one.kv_cache_tokens if one.fits else None,
                "max_len": one.max_context if one.max_context is None or one.max_context < 2**30 else None,
            }
        )
    context = case.scenario.context
    needed = [laid.checked(found._replace(null_block=False), context, stage) for stage in range(laid.stages)]
    return {
        "groups": _groups(laid, context),
        "padding_layers": laid.grouping.padding,
        "bytes_per_block": sizes,
        "needed_bytes": needed,
        "blocks_per_request": needed[0] // sizes[0],
        "pools": pools,
    }


def wanted(case: Recorded) -> dict[str, Any]:
    """What the engine answered to ``case``, in a comparable order."""
    groups = [
        (_KINDS[each["kind"].removesuffix("Spec")], each["layers"], each["block"]) for each in case.expected["groups"]
    ]
    pools = [
        {**pool, "max_concurrency": None if pool["max_concurrency"] is None else round(pool["max_concurrency"], 9)}
        for pool in case.expected["pools"]
    ]
    keys = ("padding_layers", "bytes_per_block", "needed_bytes", "blocks_per_request")
    asked = {key: case.expected[key] for key in keys if key in case.expected}
    return {"groups": sorted(groups), **asked, "pools": pools}


def _groups(laid: Layered, context: int) -> list[tuple[str, int, int]]:
    groups = laid.grouping.groups
    return sorted((group.kind, len(group.specs), group.tokens(context, laid.work)) for group in groups)


def _scenario(case: dict[str, Any]) -> Scenario:
    given = case["input"]
    options = ServingOptions(
        version=case["release"],
        prefix_caching=given["prefix_caching"],
        hybrid_manager=given["hybrid_manager"],
        draft_layers=given["draft_layers"],
    )
    return Scenario(
        model=_model(case["id"], given),
        device=find_device("H100 SXM"),
        context=given["max_model_len"],
        layout=Layout(given["tp"], given["pp"]),
        kv_dtype=given["kv_dtype"],
        skip_weights=True,
        block_size=given["block_size"],
        max_batched_tokens=given["max_num_batched_tokens"],
        speculative_tokens=given["speculative_tokens"],
        engine="vllm",
        serving=options,
    )


def _model(name: str, given: dict[str, Any]) -> ModelSpec:
    owners = {
        letter: tuple(cache for part in parts for cache in _caches(part))
        for letter, parts in given["mixers"].items()
        if parts[0]["kind"] != "shared"
    }
    layers = {"-": Layer()} | {letter: Layer(caches) for letter, caches in owners.items()}
    for letter, parts in given["mixers"].items():
        if letter not in owners:
            owner = owners[parts[0]["reads"]][0]
            assert isinstance(owner, Attention | Latent)
            layers[letter] = Layer((Shared(owner),))
    return ModelSpec(
        name=given["model"] or name,
        source="recorded",
        confidence="H",
        layers=tuple(layers[letter] for letter in given["layers"]),
        hidden=None,
        vocab=None,
        max_context=None,
        parameters=None,
        active_parameters=None,
        parameters_from="stated",
        mtp=tuple(layers[letter] for letter in given["mtp"]),
    )


def _caches(part: dict[str, Any]) -> tuple[Cache, ...]:
    match part["kind"]:
        case "full" | "sliding_window" | "chunked_local" | "cross_attention" as kind:
            k_dim, v_dim = (part.get("head_dim") or part[key] for key in ("k_dim", "v_dim"))
            cap = part.get("window") or part.get("chunk") or part.get("tokens")
            found: tuple[Cache, ...] = (Attention(kind, part["q_heads"], part["kv_heads"], k_dim, v_dim, cap),)
        case "latent":
            sizes = part["q_heads"], part["rank"], part["rope"], part.get("packed"), part.get("ratio") or 1
            found = (Latent(*sizes, part.get("window")),)
        case _:
            return (_recurrent(part),)
    indexer = part.get("indexer")
    if indexer is None:
        return found
    keys = indexer["heads"], indexer["key_dim"], indexer["key_bytes"], indexer["top_k"]
    return (*found, Indexer(*keys, part.get("ratio") or 1))


def _recurrent(part: dict[str, Any]) -> Recurrent:
    match part["kind"]:
        case "gated_deltanet":
            sizes = part["key_heads"], part["value_heads"], part["key_dim"], part["value_dim"], part["conv"]
            return gated_deltanet(*sizes, part["state"], not part.get("undeclared", False))
        case "kda":
            return kda(*(part[key] for key in ("heads", "dim", "conv", "state")))
        case "mamba1":
            return mamba1(*(part[key] for key in ("inner", "state_dim", "conv", "state")))
        case "mamba2":
            return mamba2(*(part[key] for key in ("heads", "head_dim", "state_dim", "groups", "conv", "state")))
        case "lightning":
            return lightning(*(part[key] for key in ("heads", "dim", "state")))
    return short_conv(part["channels"], part["conv"])
