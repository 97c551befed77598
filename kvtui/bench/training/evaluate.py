"""The validation loss of stored weights, over the whole text that their runs were measured with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kvtui.bench.training import loop
from kvtui.bench.training.runs import read_run
from kvtui.bench.training.weights import load_model
from kvtui.engine.basis.errors import InputError


def evaluate_all(job: Mapping[str, Any], emit: Callable[[Mapping[str, Any]], None]) -> None:
    """Measure the weights in the ``folders`` of ``job``: a "loss" event for each, or "unusable" with the reason."""
    for name in job["folders"]:
        try:
            emit({"event": "loss", "folder": name, **_losses(Path(name))})
        except InputError as error:
            emit({"event": "unusable", "folder": name, "message": str(error)})


def _losses(folder: Path) -> dict[str, Any]:
    model, run = load_model(folder), read_run(folder)
    texts = loop.texts_of(model.plan, run.files)
    loss = loop.validation_loss(model.shape, model.weights, texts.validation, model.plan.context)
    per_character = loss * (len(texts.validation) - 1) / texts.validation_characters
    return {"val_loss": loss, "val_loss_per_character": per_character, "validation_sha256": texts.sha256}
