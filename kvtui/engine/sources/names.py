"""What a model is called elsewhere: tags of Ollama, repositories of the Hub and their pages, names of GGUF files.

A name is read from its beginning: the longest one that the catalogue knows is the model, without words such as
``Instruct`` that tell releases of one shape apart. What follows must be such words, dates, and a way to store weights;
a word that is none of them may mean another shape, so that the name is refused. Of
``bartowski/Qwen_Qwen3-8B-Instruct-GGUF:Q5_K_M`` the model is Qwen3-8B, and its weights are q5_k_m.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.basis.errors import SeveralNames, UnknownName
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.catalogue import find_model, model_keys, model_names, models_beginning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvtui.engine.model.spec import ModelSpec

USUAL = "q4_k_m"
"""What Ollama's tags hold that name no format, and what llama.cpp takes of a repository."""

_LONGEST = 400
_LISTED = 8
_LEAST_BEGINNING = 3
_SPELLINGS = 3
_FILE = ".gguf"
_ANY_TAG = ":latest"
_PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")
_HOSTS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|ollama\.com)/(?:library/)?", re.IGNORECASE)
_PAGES = ("blob", "resolve", "tree", "raw")
_DATE = re.compile(r"[0-9]{4}(?:[0-9]{2}){0,2}")
_FIRST = re.compile(r"v1\.0(?![0-9])")
_WORDS = re.compile(r"[a-z]+|[0-9]+")
_BPW = re.compile(r"(exl[23]) ([0-9]{1,2}(?: [0-9]{1,2})?)bpw")
_RELEASES = frozenset(("instruct", "it", "chat", "base", "hf", "thinking", "pt", "latest", "preview"))
_ENDINGS = _RELEASES | frozenset(
    (
        *("gguf", "mlx", "ud", "i1", "imat", "imatrix", "static", "dynamic", "quantized", "quant", "quants", "marlin"),
        *("qat", "dwq", "unsloth", "compressed", "tensors", "abliterated", "uncensored", "heretic", "mtp", "text"),
        *("g32", "g64", "g128", "128g", "32g", "sym", "asym", "autoround", "v1", "v2"),
        *("16k", "32k", "64k", "128k", "256k", "1m", "inst", "think", "reasoning", "terminus"),
    )
)
_STORED = {
    "bf16": "bf16",
    "fp16": "fp16",
    "f16": "fp16",
    "fp32": "fp32",
    "f32": "fp32",
    "fp8": "fp8",
    "fp8_dynamic": "fp8-dynamic",
    "fp8_block": "fp8-block",
    "awq": "awq",
    "awq_int4": "awq",
    "awq_4bit": "awq",
    "awq_8bit": "w8a16",
    "gptq": "gptq",
    "gptq_int4": "gptq",
    "gptq_4bit": "gptq",
    "gptq_int8": "gptq-int8",
    "gptq_8bit": "gptq-int8",
    "int4_autoround": "gptq",
    "w4a16": "w4a16",
    "int4": "w4a16",
    "w8a16": "w8a16",
    "w8a8": "w8a8",
    "int8": "w8a8",
    "nvfp4": "nvfp4",
    "fp4": "nvfp4",
    "mxfp4": "mxfp4",
    "bnb_4bit": "nf4",
    "bnb_8bit": "bnb-8bit",
    "nf4": "nf4",
    "hqq": "hqq",
    "mxfp8": "mlx-mxfp8",
    **{f"{bits}bit": f"mlx-{bits}bit" for bits in (3, 4, 5, 6, 8)},
    **{f"q{bits}_k_xl": f"ud-q{bits}_k_xl" for bits in (2, 4, 5, 6, 8)},
}
_FOUR_BITS = ("mxfp4",)
"""Formats of published weights that nobody quantises once more."""

_SIXTEEN_BITS = ("fp16", "bf16")
"""Formats of GGUF files that keep such weights as they are, and the rest in 16 bits."""

_OWN_QAT = "q4_0_qat"
"""Files of quantisation-aware training as Google made them, which Ollama has too; others quantise all of them."""

_BEFORE = frozenset(("huihui", "josiefied", "openai"))
"""What some put before a model's name."""

_ONE_SCALE = ("nvidia", "redhatai", "neuralmagic", "nm-testing")
"""Publishers whose plain FP8 files have one scale per matrix."""


class Named(NamedTuple):
    """What a name stands for: the catalogue's name of the ``model``, and how its weights are stored.

    ``weights`` is None where the name does not say it, and ``assumed`` the reason where it only implies it.
    """

    model: str
    weights: str | None = None
    assumed: str = ""


def named_model(text: str) -> ModelSpec:
    """The catalogue's model that the name ``text`` stands for, with a note that says what it was taken for.

    Raises InputError, one line, for a name that may be several, or UnknownName with the nearest.
    """
    known = known_name(text)
    if known is not None:
        return known
    name = _last(text)[1].removesuffix(_ANY_TAG)
    several = () if len(name) < _LEAST_BEGINNING else models_beginning(name)
    if len(several) == 1 and _begins(name, find_model(several[0])):
        return _taken(text, Named(several[0]))
    if len(several) > 1:
        raise SeveralNames("model", text, several, _LISTED)
    raise UnknownName("model", text, model_names())


def known_name(text: str) -> ModelSpec | None:
    """The model that the name ``text`` stands for; None if it stands for none."""
    named = resolve(text)
    return None if named is None else _taken(text, named)


def _begins(name: str, model: ModelSpec) -> bool:
    """Whether one of the names of ``model`` begins with the words of ``name``: gemma3n, but not gem."""
    words = _WORDS.findall(name.lower())
    return any(
        _WORDS.findall(one.rpartition("/")[2].lower())[: len(words)] == words for one in (model.name, *model.aliases)
    )


def _taken(text: str, named: Named) -> ModelSpec:
    """The model that ``text`` was understood as, which its notes say."""
    model = find_model(named.model)
    weights = named.weights
    of_a_file = text.strip().lower().endswith(_FILE) and weights in _SIXTEEN_BITS
    if (named.assumed or of_a_file) and model.published_weights in _FOUR_BITS:
        weights = model.published_weights
    said = f"'{plain(text)}' is taken for {model.name}" + (f", its weights for {weights}" if weights else "")
    if named.assumed:
        said += f": {named.assumed}"
    return model._replace(notes=(said, *model.notes), named_weights=weights)


def resolve(text: str, keys: Mapping[str, str] | None = None) -> Named | None:
    """What the name ``text`` stands for; None if it is not understood. ``keys`` are those of the catalogue.

    ``qwen3:30b-a3b-q8_0`` is Qwen3-30B-A3B in q8_0, ``Llama-3.3-70B-Instruct-UD-Q4_K_XL-00001-of-00002.gguf`` is
    Llama-3.1-70B in ud-q4_k_xl, and ``https://huggingface.co/RedHatAI/Qwen3-8B-FP8-dynamic`` Qwen3-8B in fp8-dynamic.
    Raises InputError if the user's own catalogue is wrong.
    """
    if len(text) > _LONGEST:
        return None
    keys = model_keys() if keys is None else keys
    maker, name = _last(text)
    spelling = name
    for _ in range(_SPELLINGS):
        found = _read(spelling, maker, keys)
        if found is not None:
            return found
        # Some put the publisher, and some the repository too, before an underscore.
        spelling = spelling.partition("_")[2]
        if not spelling:
            return None
    return None


def _last(text: str) -> tuple[str, str]:
    """Who published it, in lower case, and the part of a path or an address that names model and format."""
    text = text.strip()
    maker, _, name = text.rpartition("/")
    if "/" in maker or "." in maker:
        host = _HOSTS.match(text)
        parts = (text[host.end() :] if host else text).partition("?")[0].partition("#")[0].split("/")
        if len(parts) > 2 and parts[2] in _PAGES and not parts[-1].lower().endswith(_FILE):
            parts = parts[:2]
        maker, name = "" if len(parts) == 1 else parts[0], parts[-1]
    if name[-5:].lower() == _FILE:
        name = _PART.sub("", name[:-5])
    return maker.lower(), name


def _read(spelling: str, maker: str, keys: Mapping[str, str]) -> Named | None:
    words = (
        _FIRST.sub("v1", spelling.lower())
        .replace("-", " ")
        .replace("_", " ")
        .replace(".", " ")
        .replace(":", " ")
        .split()
    )
    words = words[1:] if words and words[0] in _BEFORE else words
    found = _beginning(words, keys)
    if found is None and not _RELEASES.isdisjoint(words):
        found = _beginning([word for word in words if word not in _RELEASES], keys)
    if found is None:
        return None
    model, weights, rest = found
    if weights == "fp8" and maker in _ONE_SCALE:
        weights = "fp8-tensor"
    if weights == "q4_0" and "qat" in rest and maker == "google":
        weights = _OWN_QAT
    if weights is None and ":" in spelling:
        return Named(model, _OWN_QAT if "qat" in rest else USUAL, "what Ollama's tags hold that name no format")
    if weights is None and "gguf" in rest:
        return Named(model, USUAL, "what llama.cpp takes of a repository; add :Q8_0 or another")
    return Named(model, weights)


def _beginning(words: list[str], keys: Mapping[str, str]) -> tuple[str, str | None, tuple[str, ...]] | None:
    """The model whose name the ``words`` begin with, the longest, its format, and the rest, if all is understood."""
    key, found, model = "", 0, None
    for count, word in enumerate(words, 1):
        key += word
        if key in keys:
            found, model = count, keys[key]
    if model is None:
        return None
    understood = _rest(tuple(words[found:]))
    return None if understood is None else (model, *understood)


@lru_cache(maxsize=1024)
def _rest(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]] | None:
    """The format that some of the ``words`` behind a model's name tell, and the others; None if one is not known.

    Most names end in one of a few ways, which are looked at once.
    """
    weights, rest = _format(words)
    return (weights, rest) if all(word in _ENDINGS or _DATE.fullmatch(word) for word in rest) else None


def _format(words: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    formats, longest = _formats()
    for start in range(len(words)):
        for end in range(min(start + longest, len(words)), start, -1):
            known = formats.get("_".join(words[start:end]))
            if known is not None:
                return known, (*words[:start], *words[end:])
    rate = _BPW.search(" ".join(words))
    if rate is None:
        return None, words
    gone = rate[0].split()
    return f"{rate[1]}-{rate[2].replace(' ', '.')}bpw", tuple(word for word in words if word not in gone)


@cache
def _formats() -> tuple[Mapping[str, str], int]:
    """Formats by their words with underscores between them, and the most words that one has."""
    from kvtui.engine.checkpoint.gguf.named import file_type_keys

    types = {name: key for name, key in file_type_keys().items() if not key.startswith("gguf-")}
    formats = {**types, **_STORED}
    return formats, max(name.count("_") + 1 for name in formats)
