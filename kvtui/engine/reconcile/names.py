"""The model that a log names, found in the catalogue: repositories, paths, cache folders and quantised files alike.

Nothing that a log names is ever opened or fetched: a log is untrusted.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.checkpoint.gguf.named import file_type_in
from kvtui.engine.model.catalogue import find_model, get_model, model_names
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.names import resolve

_CACHED = re.compile(r"models--([^/\\]+?)--([^/\\]+)")
STORED = (
    ("nvfp4", "nvfp4"),
    ("mxfp4", "mxfp4"),
    ("w8a8|int8", "w8a8"),
    ("fp8", "fp8"),
    ("awq", "awq"),
    ("gptq", "gptq"),
    ("w4a16|int4|4bit", "w4a16"),
    ("bf16", "bf16"),
    ("(?<!b)f16|fp16", "fp16"),
)


def catalogue_model(log: BootLog) -> ModelSpec:
    """The catalogue's model that ``log`` speaks of.

    Raises InputError when it names none, or UnknownName, one line that asks for --model, when no catalogue knows it.
    """
    named = [log.words[key] for key in ("model", "model_name") if key in log.words]
    if not named:
        raise InputError("reconcile: the log does not name its model; name it with --model")
    for name in named:
        found = logged_model(name)
        if found is not None:
            return found
    raise InputError(f"reconcile: {UnknownName('model', named[0], model_names())}; name the log's model with --model")


def stored_format(text: str) -> str | None:
    """The format of the weights that a model's name or a file's type tells, such as FP8, AWQ or Q4_K - Medium."""
    return file_type_in(text) or next(
        (name for pattern, name in STORED if re.search(pattern, text, re.IGNORECASE)), None
    )


def logged_model(name: str) -> ModelSpec | None:
    """The catalogue's model that a log calls ``name``; None if there is none.

    ``/models/Qwen3-8B-FP8``, ``models--Qwen--Qwen3-8B/snapshots/…`` and ``Qwen3-8B-UD-Q4_K_XL-00001-of-00002.gguf`` are
    all ``Qwen3-8B``.
    """
    text = name.strip().strip("'\"").replace("\\", "/").rstrip("/").replace("___", ".")
    cached = _CACHED.search(text)
    text = f"{cached[1]}/{cached[2]}" if cached else "/".join(text.split("/")[-2:])
    found = get_model(text) or get_model(text.rpartition("/")[2])
    if found is not None:
        return found
    named = resolve(text)
    return None if named is None else find_model(named.model)
