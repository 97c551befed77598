"""Element formats and what they really occupy, scales included.

Sources: ggml block layouts (32 elements and their f16 scale), NVFP4 (an fp8 scale per 16 elements), OCP MXFP4 (a
shared exponent per 32), vLLM's per-token-head scales (one fp32 each for K and V), and ``fp8_ds_mla``, the packed MLA
entry of vLLM and SGLang whose size belongs to the model (656 bytes for DeepSeek-V3.2), as read in the engines' sources.
"""

from typing import NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName

APART = "/"
"""Stands between the formats of K and V where they are not the same."""


class Format(NamedTuple):
    """``block_bytes`` hold ``block`` elements; ``vector_scale_bytes`` are added for each head of each token.

    ``packed_latent`` marks a format that only an MLA entry can have. ``value`` is the format of V where it has another
    than K, which all else describes.
    """

    name: str
    block: int
    block_bytes: int
    vector_scale_bytes: int = 0
    packed_latent: bool = False
    value: "Format | None" = None

    @property
    def v(self) -> "Format":
        """The format of V."""
        return self.value or self

    @property
    def bits_per_element(self) -> float:
        """Average bits of one element, without per-vector scales."""
        return 8 * self.block_bytes / self.block

    def bytes(self, elements: int) -> int:
        """Bytes of ``elements`` contiguous elements; a last, partial block counts whole."""
        return -(-elements // self.block) * self.block_bytes

    def row_bytes(self, heads: int, dim: int) -> int:
        """Bytes of one token's K (or V) row of ``heads`` vectors of ``dim`` elements.

        Raises InputError for a format that holds MLA entries only.
        """
        if self.packed_latent:
            raise InputError(f"kv-dtype {self.name} stores MLA latents only; this model has other attention layers")
        return self.bytes(heads * dim) + heads * self.vector_scale_bytes


_ALL = (
    Format("fp32", 1, 4),
    Format("bf16", 1, 2),
    Format("fp16", 1, 2),
    Format("fp8", 1, 1),
    Format("int8", 1, 1),
    Format("int4", 2, 1),
    Format("nvfp4", 16, 9),
    Format("mxfp4", 32, 17),
    Format("q8_0", 32, 34),
    Format("q5_1", 32, 24),
    Format("q5_0", 32, 22),
    Format("q4_1", 32, 20),
    Format("q4_0", 32, 18),
    Format("iq4_nl", 32, 18),
    Format("int8_per_token_head", 1, 1, vector_scale_bytes=4),
    Format("fp8_per_token_head", 1, 1, vector_scale_bytes=4),
    Format("int4_per_token_head", 2, 1, vector_scale_bytes=4),
    Format("fp8_ds_mla", 1, 1, packed_latent=True),
)
FORMATS = {f.name: f for f in _ALL}
WEIGHT_FORMATS = tuple(f.name for f in _ALL if not f.packed_latent and not f.vector_scale_bytes)
KV_FORMATS = tuple(f.name for f in _ALL)
STATE_FORMATS = ("bf16", "fp16", "fp32")
"""What recurrent and conv states may be kept in."""
_ALIASES = {
    "f32": "fp32",
    "float32": "fp32",
    "bfloat16": "bf16",
    "f16": "fp16",
    "float16": "fp16",
    "half": "fp16",
    "fp8_e4m3": "fp8",
    "fp8_e5m2": "fp8",
    "float8_e4m3fn": "fp8",
}


def kv_format(name: str) -> Format:
    """The format of K and V called ``name``; of a pair such as ``q8_0/q4_0`` the first is K's. Raises UnknownName."""
    key = canonical(name)
    if (found := FORMATS.get(key)) is not None:
        return found
    k, apart, v = key.partition(APART)
    for one in (k, v) if apart else (key,):
        if one not in KV_FORMATS:
            raise UnknownName("kv-dtype", one, KV_FORMATS, listed=True)
    return FORMATS[k]._replace(name=key, value=FORMATS[v])


def kv_pair(k: str, v: str) -> str:
    """The name of K in the format ``k`` and V in ``v``: ``q8_0/q4_0``, or ``q8_0`` for both."""
    return k if k == v else f"{k}{APART}{v}"


def canonical(name: str) -> str:
    """The catalogue's spelling of a format's ``name``: ``FLOAT16`` becomes ``fp16``. Unknown names stay as they are."""
    key = name.strip().lower().replace("-", "_")
    if APART in key:
        k, v = (canonical(part) for part in key.split(APART, 1))
        return kv_pair(k, v)
    return _ALIASES.get(key, key)
