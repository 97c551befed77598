"""The papers behind a scenario: which techniques are at work in it, and where each was published.

The packaged ``papers.toml`` says what each key of a ``[[paper]]`` table means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from kvtui.engine.basis.places import DATA
from kvtui.engine.basis.tables import Fields
from kvtui.engine.model.caches import Attention, Indexer, Latent, Recurrent, Shared
from kvtui.engine.model.spec import Layer
from kvtui.engine.scenario.scenario import Scenario

TECHNIQUES = {
    "continuous_batching": ("CB", "continuous batching"),
    "paged_attention": ("PA", "paged attention"),
    "prefix_sharing": ("PFX", "prefix sharing"),
    "flash_attention": ("FA", "FlashAttention"),
    "flash_attention_hopper": ("FA", "FlashAttention on Hopper"),
    "multi_head": ("MHA", "multi-head attention"),
    "multi_query": ("MQA", "multi-query attention"),
    "grouped_query": ("GQA", "grouped-query attention"),
    "sliding_window": ("SWA", "sliding-window attention"),
    "chunked_local": ("LOC", "chunked local attention"),
    "cross_attention": ("XA", "cross-attention"),
    "latent": ("MLA", "multi-head latent attention"),
    "compressed_latent": ("CSA", "compressed latent attention"),
    "sparse_latent": ("DSA", "sparse attention over latents"),
    "sparse_heads": ("MSA", "sparse attention over K and V heads"),
    "gated_deltanet": ("GDN", "gated DeltaNet"),
    "kda": ("KDA", "Kimi Delta Attention"),
    "mamba1": ("SSM", "Mamba-1"),
    "mamba2": ("SSM", "Mamba-2"),
    "lightning": ("LA", "lightning attention"),
    "short_conv": ("CNV", "short convolution"),
    "shared": ("CLA", "K and V shared across layers"),
    "evicted": ("EVI", "tokens evicted from the cache"),
    "low_rank": ("LR", "K and V of low rank"),
    "quantized_kv": ("Q", "quantised K and V"),
    "microscaled_kv": ("MX", "microscaled K and V"),
    "speculation": ("SPD", "speculative decoding"),
    "multi_token_prediction": ("MTP", "multi-token prediction"),
    "tensor_parallel": ("TP", "tensor parallelism"),
    "positions": ("POS", "positions"),
    "estimates": ("EST", "time estimates"),
}
SIXTEEN_BITS = 16

_TABLE = Path(DATA) / "papers.toml"
_HOPPER = re.compile(r"G?H(?:20|100|200|800)\b")
_ARXIV = re.compile(r"[0-9]{4}\.[0-9]{4,5}")


class Paper(NamedTuple):
    """A published source. ``name`` is short; ``models`` are beginnings of the only model names it is shown for."""

    name: str
    title: str
    authors: str
    venue: str
    year: int
    arxiv: str | None
    doi: str | None
    url: str | None
    techniques: tuple[str, ...]
    models: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """At most three letters for the technique that the paper stands for."""
        return TECHNIQUES[self.techniques[0]][0]

    @property
    def reference(self) -> str:
        """The identifier to look it up by: ``arXiv 2205.14135``, a DOI, or the venue and year."""
        if self.arxiv is not None:
            return f"arXiv {self.arxiv}"
        return f"doi {self.doi}" if self.doi is not None else f"{self.venue} {self.year}"

    @property
    def link(self) -> str:
        """The address of its page."""
        if self.arxiv is not None:
            return f"https://arxiv.org/abs/{self.arxiv}"
        return f"https://doi.org/{self.doi}" if self.doi is not None else str(self.url)


@cache
def all_papers() -> tuple[Paper, ...]:
    """All papers, in the file's order. Raises InputError if the packaged file is wrong."""
    from tomllib import loads

    document = Fields(loads(_TABLE.read_text(encoding="utf-8")), _TABLE.name)
    papers = tuple(_build(fields) for fields in document.tables("paper"))
    document.finish()
    return papers


def papers_for(scenario: Scenario) -> tuple[Paper, ...]:
    """The papers of what is at work in ``scenario``, each once: toggles first, then the model's own techniques."""
    found: dict[str, Paper] = {}
    for technique in active_techniques(scenario):
        for paper in all_papers():
            if technique in paper.techniques and _concerns(paper, scenario.model.name):
                found.setdefault(paper.name, paper)
    return tuple(found.values())


def active_techniques(scenario: Scenario) -> tuple[str, ...]:
    """The keys of TECHNIQUES that are at work in ``scenario``, each once."""
    return tuple(dict.fromkeys(_active(scenario)))


def _active(scenario: Scenario) -> Iterator[str]:
    if scenario.continuous_batching:
        yield "continuous_batching"
    if scenario.paged_attention:
        yield "paged_attention"
    if scenario.shared_prefix:
        yield "prefix_sharing"
    if scenario.flash_attention:
        yield "flash_attention"
        if scenario.device.vendor == "NVIDIA" and _HOPPER.match(scenario.device.name):
            yield "flash_attention_hopper"
    for layer, _ in scenario.model.counted:
        yield from _of_layer(layer)
    if "lowrank" in scenario.model.what_if:
        yield "low_rank"
    if scenario.kv.bits_per_element < SIXTEEN_BITS:
        yield "quantized_kv"
        if scenario.kv.name in ("nvfp4", "mxfp4"):
            yield "microscaled_kv"
    if scenario.speculative_tokens:
        yield from ("speculation", "multi_token_prediction")
    if scenario.layout.tp > 1:
        yield "tensor_parallel"


def _of_layer(layer: Layer) -> Iterator[str]:
    for cache_ in layer.caches:
        match cache_:
            case Attention(kind="cross_attention"):
                yield "cross_attention"
            case Attention():
                yield _heads(cache_)
                if cache_.kind != "full":
                    yield cache_.kind
            case Latent(ratio=1, cap=None):
                yield "latent"
            case Latent():
                yield "compressed_latent" if cache_.cap is None else "sliding_window"
            case Indexer(ratio=1):
                yield "sparse_latent" if any(isinstance(c, Latent) for c in layer.caches) else "sparse_heads"
            case Indexer():
                yield "compressed_latent"
            case Recurrent():
                yield cache_.kind
            case Shared():
                yield "shared"


def _heads(attention: Attention) -> str:
    if attention.kv_heads == attention.q_heads:
        return "multi_head"
    return "multi_query" if attention.kv_heads == 1 else "grouped_query"


def _concerns(paper: Paper, model: str) -> bool:
    name = model.casefold()
    return not paper.models or any(name.startswith(start.casefold()) for start in paper.models)


def _build(fields: Fields) -> Paper:
    paper = Paper(
        name=fields.text("name", limit=40),
        title=fields.text("title"),
        authors=fields.text("authors", limit=80),
        venue=fields.text("venue", limit=20),
        year=fields.integer("year", least=1990, most=2100),
        arxiv=fields.maybe(fields.text, "arxiv"),
        doi=fields.maybe(fields.text, "doi"),
        url=fields.maybe(fields.text, "url"),
        techniques=fields.texts("techniques"),
        models=fields.texts("models"),
    )
    if paper.arxiv is not None and not _ARXIV.fullmatch(paper.arxiv):
        raise fields.error("arxiv", "must be an identifier such as 2205.14135")
    if not paper.techniques or not TECHNIQUES.keys() >= set(paper.techniques):
        raise fields.error("techniques", "must be names of kvtui.engine.saying.papers.TECHNIQUES")
    if (paper.arxiv, paper.doi, paper.url).count(None) != 2:
        raise fields.error("arxiv", "give exactly one of arxiv, doi and url")
    fields.finish()
    return paper
