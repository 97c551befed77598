"""Writes docs/readers.md: ``python docs/readers.py``. The tables are those of the readers; a test keeps them equal."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from gguf.constants import MODEL_ARCH_NAMES

from kvtui.engine.basis.errors import InputError
from kvtui.engine.sources.gguf import architectures as known
from kvtui.engine.sources.hf.classes import class_of, release
from kvtui.engine.sources.hf.config import model_from_config
from kvtui.engine.sources.hf.decoders import DECODERS
from kvtui.engine.sources.hf.families import FAMILIES, READERS, REFUSED

TARGET = Path(__file__).with_name("readers.md")

TEXT = """# What the readers read

A model is a name of the catalogue, a Hugging Face `config.json`, a GGUF file, or a name on the Hub. Never wrong, rarely
refused: a number is given only where every field that could change it is understood.

## config.json

- The `model_type` says which reader reads the file. A field that the file leaves out has the default of its
  configuration class in {release}, and the report names it: *not in the file, so class defaults of …*.
- A window that the file states is applied in the layers that the model's own code applies it in. An engine decides for
  itself: vLLM applies it, llama.cpp keeps all tokens of architectures whose code has no window (Phi-3, StarCoder2,
  Mistral, Qwen), and SGLang those of all families but the ones that it has a windowed pool for.
- A type that is not below is read by the general rule if it states heads, KV heads and sizes, if its `layer_types` hold
  only `full_attention` and `sliding_attention` (then with `head_dim` and the window), and if every other whole number,
  list and object in it is of a kind that changes no cache. Its weights are not counted.
- Otherwise it is refused, with the fields that are not understood and, where it can be told, the most that it can keep.
  `kvtui estimate` takes a shape by hand, and an entry in `models.toml` makes it a model: `kvtui models --template`
  prints one to begin with.
- Vision, audio and omni models: encoders and projectors of thirty-odd kinds are counted (`towers.py`); beside another
  kind the total is a lower bound, and a note says so.
- Encoder-decoder models: a prompt token is kept by cross-attention and a generated one by the decoder, the same bytes
  each, so that every token of the context counts once. Whisper has a fixed number of frames instead.
- Routers that correct their scores have a bias per expert. It counts as a weight, as in the released files, and a note
  says so; transformers keeps it as a buffer.

| read | model types |
|---|---|
{types}

These are refused:

| model type | why |
|---|---|
{refused}

## GGUF

Every architecture of the `gguf` package, and those of llama.cpp besides that kvtui knows.

| architecture | read as |
|---|---|
{architectures}
"""


def types() -> str:
    """A row for each way of reading."""
    cached = sorted(name for name in READERS if not _counted(name))
    whole = sorted(set(READERS) - set(cached))
    return "\n".join(
        f"| {how} | {', '.join(f'`{name}`' for name in names)} |"
        for how, names in (("cache and weights", whole), ("cache", cached))
    )


def _counted(name: str) -> bool:
    """Whether the weights are counted too, as a file of all class defaults shows, or a reader of its own promises."""
    kind = next((kind for kind in (name, f"{name}_text", f"{name}_text_model") if class_of(kind)), None)
    if kind is None:
        return name in FAMILIES
    try:
        spec = model_from_config({"model_type": kind, "is_decoder": True}, name, "config.json")
    except InputError:
        return name in FAMILIES and name not in DECODERS
    return spec.parameters is not None


def refused() -> str:
    """A row for each type that is refused by name."""
    return "\n".join(f"| `{name}` | {why} |" for name, why in sorted(REFUSED.items()))


def architectures() -> str:
    """A row for each architecture name."""
    names = sorted(set(MODEL_ARCH_NAMES.values()) | known.ARCHITECTURES | set(known.NOT_READ))
    return "\n".join(f"| `{name}` | {_kind(name)} |" for name in names)


def _kind(arch: str) -> str:
    if arch in known.WITHOUT_CACHE:
        return f"refused: {known.WITHOUT_CACHE[arch]}"
    if arch in known.NOT_READ:
        return f"refused: {known.NOT_READ[arch]}"
    parts = []
    if arch in known.RECURRENT:
        parts.append(f"states ({known.RECURRENT[arch].replace('_', ' ')})")
    if arch in known.LATENT:
        parts.append("latent")
    if arch in known.WINDOWS or arch == known.EXAONE4:
        parts.append("windows and full attention")
    if arch in known.INDEXED:
        parts.append("index keys")
    if arch in known.SHARING:
        parts.append("shared layers")
    return ", ".join(parts) or "full attention"


def markdown() -> str:
    """The whole document."""
    return TEXT.format(release=release(), types=types(), refused=refused(), architectures=architectures())


if __name__ == "__main__":
    TARGET.write_text(markdown(), encoding="utf-8")
