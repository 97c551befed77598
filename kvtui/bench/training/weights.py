"""The weights of a training run as files: what the arrays are called, and what a file must have to be believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from kvtui.bench.nn.transformer import Weights, abstract_weights
from kvtui.bench.training import safetensors
from kvtui.bench.training.runs import WEIGHTS
from kvtui.bench.training.safetensors import Arrays
from kvtui.bench.training.tokens import Tokenizer
from kvtui.cases.case import TransformerShape
from kvtui.cases.training import TrainingPlan
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.json_object import parse_object
from kvtui.engine.basis.untrusted import plain

FORMAT = "kvtui-training-1"


class TrainedModel(NamedTuple):
    """A model that can be run, and what it was trained as."""

    plan: TrainingPlan
    shape: TransformerShape
    tokenizer: Tokenizer
    weights: Weights
    metadata: Mapping[str, str]


def names(tree: PyTree) -> list[str]:
    """The names of the arrays of ``tree`` in its own order: "blocks.0.attention.qkv"."""
    return [".".join(map(_word, path)) for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]


def arrays_of(tree: PyTree, prefix: str = "", dtype: Any = np.float32) -> Arrays:
    """The arrays of ``tree`` by name, floats as ``dtype``."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    kept = [leaf.astype(dtype if np.issubdtype(leaf.dtype, np.floating) else np.int32) for leaf in leaves]
    return dict(zip((prefix + name for name in names(tree)), kept, strict=True))


def fill_tree(tree: PyTree, arrays: Arrays, where: str, prefix: str = "") -> PyTree:
    """``tree`` with the arrays that are called as its own.

    Raises InputError, which names ``where``, for one that is missing or of another shape.
    """
    leaves, structure = jax.tree.flatten(tree)
    found = []
    for name, leaf in zip((prefix + name for name in names(tree)), leaves, strict=True):
        if name not in arrays:
            raise InputError(f"{where}: has no array {name}; it is not of this model")
        if arrays[name].shape != leaf.shape:
            raise InputError(f"{where}: {name} has the shape {arrays[name].shape}, expected {leaf.shape}")
        found.append(jnp.asarray(arrays[name], leaf.dtype))
    return jax.tree.unflatten(structure, found)


def metadata_of(plan: TrainingPlan, tokenizer: Tokenizer, **more: str) -> dict[str, str]:
    """What a file says of its model, so that it needs no other file."""
    return {
        "format": FORMAT,
        "plan": json.dumps(plan.to_json()),
        "tokens": json.dumps(tokenizer.to_json()),
        **more,
    }


def load_model(path: Path) -> TrainedModel:
    """The model of the run folder or weights file ``path``. Raises InputError, one line, for anything else."""
    path = path / WEIGHTS if path.is_dir() else path
    shown = plain(str(path))
    arrays, metadata = safetensors.read(path)
    if metadata.get("format") != FORMAT:
        raise InputError(f"{shown}: holds no model that kvtui trained")
    try:
        plan = TrainingPlan.from_json(parse_object(metadata.get("plan", ""), "plan"))
        tokenizer = Tokenizer.from_json(parse_object(metadata.get("tokens", ""), "tokens"))
    except InputError as error:
        raise InputError(f"{shown}: {error}") from None
    shape = plan.shape(len(tokenizer))
    weights: Weights = fill_tree(abstract_weights(shape), arrays, shown)
    return TrainedModel(plan, shape, tokenizer, weights, metadata)


def _word(key: Any) -> str:
    return str(getattr(key, "name", None) or getattr(key, "idx", key))
