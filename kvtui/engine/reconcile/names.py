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
    ("nvfp4|(?<![a-z])fp4", "nvfp4"),
    ("mxfp4", "mxfp4"),
    ("gptq.{0,3}(?:int)?8", "gptq-int8"),
    ("w8a16", "w8a16"),
    ("w8a8.fp8", "fp8-channel"),
    ("w8a8|(?<!gptq.)int8", "w8a8"),
    ("fp8.{0,3}dynamic", "fp8-channel"),
    ("fp8", "fp8"),
    ("awq", "awq"),
    ("gptq|auto.?round", "gptq"),
    ("bnb.{0,3}8bit", "bnb-8bit"),
    ("bnb|nf4", "nf4"),
    ("w4a16|int4|4bit", "w4a16"),
    ("bf16", "bf16"),
    ("(?<!b)f16|fp16", "fp16"),
)


def named_model(log: BootLog) -> ModelSpec:
    """The catalogue's model that ``log`` names: by its path, the name it is served under, or that in its file.

    Raises InputError, one line, when it names none or none that a catalogue knows.
    """
    named = [log.words[key] for key in ("model", "served_name", "model_name") if key in log.words]
    if not named:
        raise InputError("reconcile: the log does not name its model")
    for name in named:
        found = logged_model(name)
        if found is not None:
            return found
    raise InputError(f"reconcile: {UnknownName('model', named[0], model_names())}")


def squeezed(name: str) -> str:
    """``name`` without case and all that is no letter or digit."""
    return re.sub(r"[^a-z0-9]", "", name.casefold())


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
