"""Sizes of GGUF files: the data of all tensors, and the metadata before them."""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.checkpoint.gguf.named import BANDS, file_type_key, named_format
from kvtui.engine.checkpoint.gguf.tensors import has_prediction
from kvtui.engine.checkpoint.weights import used_bytes
from kvtui.engine.model.spec import ModelSpec

METADATA_PER_TOKEN = 50
MOST_METADATA = 8 * 10**6
"""Bytes of metadata: for each entry of the vocabulary its text, its type and a merge, up to a limit.

From published files, whose metadata are 6 to 8 MB with vocabularies of 128,000 to 152,000 entries. Gemma's of 262,144
without merges is 6.5 MB.
"""


class FileSize(NamedTuple):
    """Bytes of a file: ``tensors`` in all, ``metadata``, and ``least`` where of a file type only bounds are known."""

    tensors: int
    metadata: int
    least: int

    @property
    def bytes(self) -> int:
        """The whole file, the larger bound where there are two."""
        return self.tensors + self.metadata


def file_size(model: ModelSpec, name: str) -> FileSize:
    """The file of type ``name``. Loaders print its tensors alone, and model pages the whole file.

    Of prediction layers the usual converters keep only GLM's.

    Raises UnknownName, and InputError when nothing says how many weights ``model`` has.
    """
    tensors = used_bytes(model, named_format(name, model), mtp=has_prediction(model))
    metadata = MOST_METADATA if model.vocab is None else min(METADATA_PER_TOKEN * model.vocab, MOST_METADATA)
    band = BANDS.get(file_type_key(name) or "")
    lower = tensors if band is None else tensors * (100 + band.low) // (100 + band.high)
    return FileSize(tensors, metadata, lower + metadata)
