"""The training loop: AdamW on the next token's cross entropy, with a checkpoint every few steps.

A run is a function of its plan: batches follow from seed and step alone, so one that goes on from a checkpoint makes
the same steps as one that was never interrupted. Weights are kept in float16, and the validation loss of the summary is
that of the weights as they are kept, over the whole validation text.
"""

from __future__ import annotations

import functools
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from kvtui import __version__
from kvtui.bench.child import Emit
from kvtui.bench.nn import transformer
from kvtui.bench.nn.transformer import Weights
from kvtui.bench.training import corpus, runs, safetensors, tokens
from kvtui.bench.training.tokens import Ids, Tokenizer
from kvtui.bench.training.weights import arrays_of, fill_tree, metadata_of
from kvtui.cases.case import TransformerShape
from kvtui.cases.training import TrainingPlan
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import write_whole
from kvtui.engine.basis.untrusted import plain

LOG_EVERY = 10
EVALUATED_TOGETHER = 32
CLIP, WEIGHT_DECAY, LEAST_SHARE = 1.0, 0.1, 0.1
FIND_STEPS, FIND_LEAST, FIND_MOST = 80, 1e-5, 1.0
SMOOTHING, BLOWN_UP = 0.9, 4.0


class Texts(NamedTuple):
    """What a plan is trained on, as tokens."""

    tokenizer: Tokenizer
    train: Ids
    validation: Ids
    validation_characters: int
    sha256: str


class TrainingPrograms(NamedTuple):
    """One step, the summed loss of counted predictions, and what the steps go by."""

    step: Callable[[Weights, Any, Array], tuple[Weights, Any, Array]]
    loss: Callable[[Weights, Array, Array], Array]
    optimizer: optax.GradientTransformation


def train_all(job: Mapping[str, Any], emit: Emit) -> None:
    """Train the ``runs`` of ``job``, one after another; each is a plan, its text files and its folder.

    Events say what was done: "log" for each line of the log, "trained" with the summary. Raises InputError for what
    cannot be trained, OSError for what cannot be written.
    """
    for one in job["runs"]:
        plan = TrainingPlan.from_json(one["plan"])
        train(plan, [Path(name) for name in one["files"]], Path(one["folder"]), emit)


def train(plan: TrainingPlan, files: list[Path], folder: Path, emit: Emit) -> None:
    """Train ``plan``, from its checkpoint where ``folder`` has one, and leave a finished run there."""
    texts = texts_of(plan, tuple(files))
    shape = plan.shape(len(texts.tokenizer))
    programs = _programs(shape, _timeless(plan))
    weights, state, rows = _opening(plan, shape, programs, folder, texts.tokenizer)
    first = int(rows[-1]["step"] or 0) if rows else 0
    spent = float(rows[-1]["seconds"] or 0) if rows else 0.0
    emit({"event": "begun", "run": folder.name, "step": first, "parameters": transformer.parameter_count(shape)})
    runs.keep_log(folder / runs.LOG, rows)
    windows = _windows(texts.validation, plan.context)
    with (folder / runs.LOG).open("a", encoding="utf-8", newline="\n") as log:
        losses: list[Array] = []
        since, since_step = time.perf_counter(), first
        for step in range(first + 1, plan.steps + 1):
            weights, state, loss = programs.step(weights, state, _batch(plan, texts.train, step))
            losses.append(loss)
            saves, measures = step % plan.checkpoint_every == 0, step % plan.evaluate_every == 0
            if not (saves or measures or step % LOG_EVERY == 0 or step == plan.steps):
                continue
            mean = float(np.mean(jax.device_get(losses)))
            now = time.perf_counter()
            rate = plan.batch * plan.context * (step - since_step) / (now - since)
            spent += now - since
            if not math.isfinite(mean):
                raise InputError(
                    f"{plain(folder.name)}: the loss is not finite at step {step}; lower the learning rate"
                )
            row: dict[str, float | None] = {
                "step": step,
                "loss": mean,
                "val_loss": _validation(programs, weights, windows) if measures or step == plan.steps else None,
                "learning_rate": float(schedule(plan)(step - 1)),
                "tokens_per_s": rate,
                "seconds": spent,
            }
            log.write(runs.log_line(row))
            log.flush()
            if saves and step < plan.steps:
                _save(folder, plan, texts.tokenizer, weights, state)
            emit({"event": "log", "run": folder.name, "steps": plan.steps, **row})
            losses = []
            since, since_step = time.perf_counter(), step
    _finish(plan, shape, folder, texts, weights, spent, emit)


def find_learning_rate(job: Mapping[str, Any], emit: Emit) -> None:
    """Try rising learning rates on the plan of ``job`` (Smith 2017): "rate" events, and "found" with the suggestion.

    The rate rises tenfold again and again from 1e-5 to 1 while the smoothed loss is not four times its least. The
    suggestion is a third of the rate at which it fell fastest per step of the rate's logarithm.
    """
    plan = TrainingPlan.from_json(job["plan"])
    texts = texts_of(plan, tuple(Path(name) for name in job["files"]))
    shape = plan.shape(len(texts.tokenizer))
    growth = (FIND_MOST / FIND_LEAST) ** (1 / (FIND_STEPS - 1))
    optimizer = _optimizer(optax.exponential_decay(FIND_LEAST, 1, growth))
    step = jax.jit(functools.partial(_step, shape, optimizer), donate_argnums=(0, 1))
    weights = transformer.init_weights(shape, plan.seed)
    state = optimizer.init(weights)
    smooth, least, found = 0.0, math.inf, []
    for i in range(FIND_STEPS):
        weights, state, loss = step(weights, state, _batch(plan, texts.train, i + 1))
        smooth = SMOOTHING * smooth + (1 - SMOOTHING) * float(loss)
        corrected = smooth / (1 - SMOOTHING ** (i + 1))
        if not math.isfinite(corrected) or corrected > BLOWN_UP * least:
            break
        least = min(least, corrected)
        found.append((FIND_LEAST * growth**i, corrected))
        emit({"event": "rate", "step": i + 1, "steps": FIND_STEPS, "learning_rate": found[-1][0], "loss": corrected})
    falls = np.gradient([loss for _, loss in found]) if len(found) > 2 else np.zeros(1)
    emit({"event": "found", "learning_rate": found[int(np.argmin(falls))][0] / 3 if len(found) > 2 else None})


@functools.lru_cache(maxsize=4)
def _texts(tokenisation: str, vocab: int, files: tuple[Path, ...]) -> Texts:
    text = corpus.load(files)
    tokenizer = tokens.byte_pairs_of(text.train, vocab) if tokenisation == "bpe" else tokens.characters_of(text.train)
    train_ids, validation = tokenizer.encode(text.train), tokenizer.encode(text.validation)
    return Texts(tokenizer, train_ids, validation, len(text.validation), text.sha256)


def texts_of(plan: TrainingPlan, files: tuple[Path, ...]) -> Texts:
    """The tokens that ``plan`` is trained on. Raises InputError for text that is too short."""
    found = _texts(plan.tokens, plan.vocab, files)
    if min(len(found.train), len(found.validation)) <= plan.context:
        raise InputError(f"text: has no {plan.context + 1} tokens to train and to measure on; shorten the context")
    return found


def validation_loss(shape: TransformerShape, weights: Weights, validation: Ids, context: int) -> float:
    """Nats per token over all of ``validation``, in windows of ``context``."""
    return _mean_loss(_loss_of(shape), weights, _windows(validation, context))


def schedule(plan: TrainingPlan) -> optax.Schedule:
    """The learning rate by step: a straight rise, then a cosine down to a tenth."""
    warmup = min(plan.warmup, plan.steps - 1)
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup else plan.learning_rate,
        plan.learning_rate,
        warmup,
        max(plan.steps, warmup + 1),
        plan.learning_rate * LEAST_SHARE,
    )


def _timeless(plan: TrainingPlan) -> TrainingPlan:
    """What a plan's programs depend on."""
    return replace(plan, seed=0, text="")


@functools.lru_cache(maxsize=2)
def _programs(shape: TransformerShape, plan: TrainingPlan) -> TrainingPrograms:
    optimizer = _optimizer(schedule(plan))
    return TrainingPrograms(
        step=jax.jit(functools.partial(_step, shape, optimizer), donate_argnums=(0, 1)),
        loss=_loss_of(shape),
        optimizer=optimizer,
    )


@functools.lru_cache(maxsize=4)
def _loss_of(shape: TransformerShape) -> Callable[[Weights, Array, Array], Array]:
    return jax.jit(functools.partial(_summed_loss, shape))


def _optimizer(rate: optax.Schedule) -> optax.GradientTransformation:
    def matrices(weights: Weights) -> Any:
        return jax.tree.map(lambda leaf: leaf.ndim > 1, weights)

    return optax.chain(
        optax.clip_by_global_norm(CLIP), optax.adamw(rate, b2=0.99, weight_decay=WEIGHT_DECAY, mask=matrices)
    )


def _step(
    shape: TransformerShape, optimizer: optax.GradientTransformation, weights: Weights, state: Any, batch: Array
) -> tuple[Weights, Any, Array]:
    def mean_loss(candidate: Weights) -> Array:
        return jnp.mean(_losses(shape, candidate, batch))

    loss, gradients = jax.value_and_grad(mean_loss)(weights)
    updates, state = optimizer.update(gradients, state, weights)
    return optax.apply_updates(weights, updates), state, loss


def _losses(shape: TransformerShape, weights: Weights, batch: Array) -> Array:
    logits = transformer.all_logits(shape, weights, batch[:, :-1])
    losses: Array = optax.softmax_cross_entropy_with_integer_labels(logits, batch[:, 1:])
    return losses


def _summed_loss(shape: TransformerShape, weights: Weights, batch: Array, counted: Array) -> Array:
    return jnp.sum(_losses(shape, weights, batch) * counted)


def _batch(plan: TrainingPlan, train: Ids, step: int) -> Array:
    starts = np.random.default_rng((plan.seed, step)).integers(0, len(train) - plan.context, plan.batch)
    return jnp.asarray(train[starts[:, None] + np.arange(plan.context + 1)])


def _windows(ids: Ids, context: int) -> list[tuple[Array, Array]]:
    """All of ``ids`` as batches of windows that overlap by one token, and which of their predictions count."""
    count = -(-(len(ids) - 1) // context)
    rows = -(-count // EVALUATED_TOGETHER) * EVALUATED_TOGETHER
    places = np.arange(rows)[:, None] * context + np.arange(context + 1)
    padded = np.where(places < len(ids), ids[np.minimum(places, len(ids) - 1)], 0).astype(np.int32)
    counted = (places[:, 1:] < len(ids)).astype(np.float32)
    return [
        (jnp.asarray(padded[at : at + EVALUATED_TOGETHER]), jnp.asarray(counted[at : at + EVALUATED_TOGETHER]))
        for at in range(0, rows, EVALUATED_TOGETHER)
    ]


def _validation(programs: TrainingPrograms, weights: Weights, windows: list[tuple[Array, Array]]) -> float:
    return _mean_loss(programs.loss, weights, windows)


def _mean_loss(
    loss: Callable[[Weights, Array, Array], Array], weights: Weights, windows: list[tuple[Array, Array]]
) -> float:
    total = math.fsum(float(loss(weights, batch, counted)) for batch, counted in windows)
    return total / math.fsum(float(jnp.sum(counted)) for _, counted in windows)


def _opening(
    plan: TrainingPlan, shape: TransformerShape, programs: TrainingPrograms, folder: Path, tokenizer: Tokenizer
) -> tuple[Weights, Any, list[dict[str, float | None]]]:
    """Where the run begins or goes on: weights, the optimizer's state, and the log so far."""
    weights = transformer.init_weights(shape, plan.seed)
    state = programs.optimizer.init(weights)
    path = folder / runs.CHECKPOINT
    if not path.exists():
        return weights, state, []
    where = plain(str(path))
    arrays, metadata = safetensors.read(path)
    if metadata.get("plan") != json.dumps(plan.to_json()) or metadata.get("tokens") != json.dumps(tokenizer.to_json()):
        raise InputError(f"{where}: is of another model or another text; remove {plain(folder.name)} to begin anew")
    step = metadata.get("step", "")
    if not step.isdecimal() or len(step) > 9:
        raise InputError(f"{where}: does not say its step")
    rows = [row for row in runs.read_log(folder / runs.LOG) if (row["step"] or 0) <= int(step)]
    if not rows or rows[-1]["step"] != int(step):
        rows.append({**dict.fromkeys(runs.LOG_COLUMNS), "step": float(step)})
    return fill_tree(weights, arrays, where, "weights."), fill_tree(state, arrays, where, "optimizer."), rows


def _save(folder: Path, plan: TrainingPlan, tokenizer: Tokenizer, weights: Weights, state: Any) -> None:
    arrays = {**arrays_of(weights, "weights."), **arrays_of(state, "optimizer.")}
    steps = [int(leaf) for leaf in jax.tree.leaves(state) if leaf.ndim == 0]
    metadata = metadata_of(plan, tokenizer, step=str(max(steps)))
    safetensors.write(folder / runs.CHECKPOINT, arrays, metadata)


def _finish(
    plan: TrainingPlan,
    shape: TransformerShape,
    folder: Path,
    texts: Texts,
    weights: Weights,
    spent: float,
    emit: Emit,
) -> None:
    kept = arrays_of(weights, dtype=np.float16)
    narrow: Weights = fill_tree(weights, kept, folder.name)
    loss = _validation(_programs(shape, _timeless(plan)), narrow, _windows(texts.validation, plan.context))
    summary = {
        "run": folder.name,
        "parameters": transformer.parameter_count(shape),
        "val_loss": loss,
        "val_loss_per_character": loss * (len(texts.validation) - 1) / texts.validation_characters,
        "validation_sha256": texts.sha256,
        "vocab": len(texts.tokenizer),
        "steps": plan.steps,
        "train_tokens": plan.steps * plan.batch * plan.context,
        "seconds": spent,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "device": jax.devices()[0].device_kind,
        "kvtui": __version__,
        "jax": jax.__version__,
    }
    metadata = metadata_of(plan, texts.tokenizer, val_loss=repr(loss), validation_sha256=texts.sha256)
    safetensors.write(folder / runs.WEIGHTS, kept, metadata)
    write_whole(folder / runs.SUMMARY, json.dumps(summary, indent=1) + "\n")
    (folder / runs.CHECKPOINT).unlink(missing_ok=True)
    emit({"event": "trained", "run": folder.name, "summary": summary})
