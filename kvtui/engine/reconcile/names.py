"""The model that a log names, found in the catalogue: repositories, paths, cache folders and quantised files alike.

Nothing that a log names is ever opened or fetched: a log is untrusted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.checkpoint.gguf.named import file_type_in
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.spec import ModelSpec

_CACHED = re.compile(r"models--([^/\\]+?)--([^/\\]+)")
_PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")
_BUILT = re.compile(
    r"[-_. ](?:ud|gguf|mlx|awq|gptq|exl[23]|bnb|marlin|auto-?round|quantized|compressed|dynamic|static|block|imatrix|"
    r"i1|qat|mtp|it|hf|instruct|v[0-9]|[0-9]{4}|bf16|f(?:16|32)|fp(?:4|8|16)|(?:nv|mx)fp[48]|int[48]|w[48]a(?:4|8|16)|"
    r"[0-9]bits?|i?q[0-9][a-z0-9_]*|g(?:32|64|128))$",
    re.IGNORECASE,
)
MOST_ENDINGS = 8
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
    first: UnknownName | None = None
    for name in named:
        for spelling in spellings(name):
            try:
                return find_model(spelling)
            except UnknownName as unknown:
                first = first or unknown
    raise InputError(f"reconcile: {first}; name the log's model with --model")


def stored_format(text: str) -> str | None:
    """The format of the weights that a model's name or a file's type tells, such as FP8, AWQ or Q4_K - Medium."""
    return file_type_in(text) or next(
        (name for pattern, name in STORED if re.search(pattern, text, re.IGNORECASE)), None
    )


def spellings(name: str) -> Iterator[str]:
    """What the catalogue may call the model that a log calls ``name``, the most exact first.

    ``/models/Qwen3-8B-FP8``, ``models--Qwen--Qwen3-8B/snapshots/…`` and ``Qwen3-8B-UD-Q4_K_XL-00001-of-00002.gguf`` all
    lead to ``Qwen3-8B``.
    """
    text = name.strip().strip("'\"").replace("\\", "/").rstrip("/")
    cached = _CACHED.search(text)
    if cached:
        text = f"{cached[1]}/{cached[2]}"
    parts = text.split("/")
    yield "/".join(parts[-2:])
    last = _PART.sub("", parts[-1].partition(":")[0].removesuffix(".gguf")).replace("___", ".")
    yield last
    for _ in range(MOST_ENDINGS):
        shorter = _BUILT.sub("", last)
        if shorter == last:
            return
        last = shorter
        yield last
