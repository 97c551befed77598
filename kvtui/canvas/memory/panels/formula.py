"""The formula panel: how the bytes on screen come about, with the values put in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.memory.panels.info import efficiency
from kvtui.canvas.memory.panels.text import TextBlock, of_whole, packed, pair, percent, squeeze, wrapped
from kvtui.canvas.memory.view import MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.model.caches import Attention, Indexer, Latent
from kvtui.engine.model.formats import Format
from kvtui.engine.saying.terms import CacheTerm, kv_terms, score_term, shared_bytes, shared_tokens, state_terms

_NAMES = {
    "full": "full",
    "sliding_window": "window",
    "chunked_local": "chunk",
    "evicted": "kept",
    "cross_attention": "cross",
    "latent": "latent",
    "compressed_latent": "packed",
    "sliding_window_latent": "recent",
    "sparse_indexer": "index",
}
_MEANINGS = {
    "L": "layers",
    "H": "KV heads",
    "D": "head size",
    "K": "key size",
    "V": "value size",
    "r": "latent rank",
    "p": "position part",
    "e": "bytes of an entry",
    "b": "bytes of an element",
    "R": "copies on ranks",
    "B": "sequences",
    "t": "tokens",
    "W": "window",
    "C": "chunk",
    "E": "encoder tokens",
    "P": "prefix tokens",
    "T": "context",
    "S": "state bytes",
    "q": "queries",
    "k": "keys",
    "u": "tile",
    "h": "query heads",
}


class _Product(NamedTuple):
    """A product in symbols and with its values; ``used`` are the symbols it has."""

    symbols: str
    values: str
    used: str


def formula_rows(view: MemoryView, width: int, height: int | None = None) -> list[InkRow]:
    """The live formula in at least 24 cells; where only ``height`` rows are free, less important parts are left out.

    Its KV is that of the view's ``total_parts`` and follows the model's layer kinds, batching, paging and formats.
    """
    return squeeze(_blocks(view, width), height)


def _blocks(view: MemoryView, width: int) -> Iterator[TextBlock]:
    used = Counter[str]()
    terms = kv_terms(view.scenario, view.sequences)
    names = _named([_NAMES[term.cache.kind] for term in terms])
    products = [_product(view, term) for term in terms]
    yield 0, _kv(view, terms, names, products, width)
    used.update("".join(product.used for product in products))
    state = list(_state(view, width))
    if state:
        used.update("LSB")
        yield 1, state
    if terms:
        symbols, rows = _held(view, width)
        used.update(symbols)
        yield 3, rows
        scores = _scores(view, width)
        if scores:
            used.update("qkuhB")
            yield 4, scores
    yield 2, _efficiency(view, width)
    yield 5, packed([f"{symbol} {meaning}" for symbol, meaning in _MEANINGS.items() if symbol in used], width)


def _kv(
    view: MemoryView, terms: Sequence[CacheTerm], names: Sequence[str], products: Sequence[_Product], width: int
) -> list[InkRow]:
    shared = shared_bytes(view.scenario, view.sequences)
    total = sum(term.bytes for term in terms) - shared
    if len(terms) == 1 and not shared:
        return _equation("KV", products[0].symbols, products[0].values, total, Ink.KV, width)
    rows: list[InkRow] = []
    for term, name, product in zip(terms, names, products, strict=True):
        rows += _equation(name, product.symbols, product.values, term.bytes, Ink.TEXT, width)
    if shared:
        tokens = shared_tokens(view.scenario, view.sequences)
        rows += wrapped(f"shared: {tokens:,} tokens of prefix", width, Ink.TEXT, indent=2)
        rows += _result(-shared, Ink.GOOD, width)
    parts = [*names, *(("shared",) if shared else ())]
    rows += wrapped(f"KV = {' + '.join(parts) or 'nothing'}", width, Ink.TEXT, indent=3)
    return rows + _result(total, Ink.KV, width)


def _state(view: MemoryView, width: int) -> Iterator[InkRow]:
    terms = state_terms(view.scenario)
    for term, name in zip(terms, _named(["state"] * len(terms)), strict=True):
        values = f"{term.layers:,}·{term.sequence_bytes:,}·{term.sequences:,}"
        yield from _equation(name, "L·S·B", values, term.bytes, Ink.STATE, width)


def _held(view: MemoryView, width: int) -> tuple[str, list[InkRow]]:
    """What the allocation policy sets aside, in tokens; and the symbols used."""
    scenario, block = view.scenario, view.scenario.block_size
    reserved, prefix = view.reserved_tokens, view.prefix_tokens
    share = pair("   used", (percent(view.used_share),), width, Ink.TEXT)
    if scenario.paged_attention:
        less, sharing = (f" – {prefix:,}", " – shared") if prefix else ("", "")
        rows = wrapped(f"held = {_several(view)}⌈t/{block}⌉·{block}{sharing}", width, Ink.TEXT, indent=3)
        values = f"   = {(reserved + prefix) // block:,}·{block}{less} = {reserved:,} tok"
        return "Bt", [*rows, *wrapped(values, width, Ink.DIM, indent=3), share]
    if scenario.continuous_batching:
        return "t", wrapped(f"held = {_several(view)}t, none reserved", width, Ink.TEXT, indent=3)
    rows = wrapped("held = B·T, reserved at start", width, Ink.TEXT, indent=3)
    values = f"   = {scenario.batch:,}·{scenario.context:,} = {reserved:,} tok"
    return "BT", [*rows, *wrapped(values, width, Ink.DIM, indent=3), share]


def _several(view: MemoryView) -> str:
    """The sum over sequences as a factor: nothing for one, B for equal ones, Σ otherwise."""
    if view.scenario.batch == 1:
        return ""
    return "B·" if view.uniform else "Σ"


def _scores(view: MemoryView, width: int) -> list[InkRow]:
    term, on = score_term(view.scenario, view.tokens), view.scenario.flash_attention
    if not term.bytes:
        return []
    tenth = "÷10" if term.tenth else ""
    values = f"({term.queries:,}·{term.keys:,}–{term.tile:,}²)·{term.heads:,}·{term.sequences:,}·2{tenth}"
    name, ink = ("saved", Ink.SAVED) if on else ("scores", Ink.ACTIVATION)
    symbols = f"(q·k–u²)·h·B·2{tenth}"
    return _equation(name, symbols, values, term.bytes, ink, width, "at most ½ of memory" if term.capped else "")


def _efficiency(view: MemoryView, width: int) -> list[InkRow]:
    words, ink = efficiency(view.utilization)
    return [
        *wrapped("η = total ÷ usable", width, Ink.TEXT, indent=2),
        *wrapped(f"  = {of_whole(view.total_parts.total, view.capacity, '÷')}", width, Ink.DIM, indent=4),
        (Span(f"  = {words}", ink),),
    ]


def _equation(name: str, symbols: str, values: str, size: int, ink: Ink, width: int, note: str = "") -> list[InkRow]:
    return [
        *wrapped(f"{name} = {symbols}", width, Ink.TEXT, indent=5),
        *wrapped(f"   = {values}", width, Ink.DIM, indent=5),
        *(wrapped(f"   {note}", width, Ink.DIM, indent=5) if note else ()),
        *_result(size, ink, width),
    ]


def _result(size: int, ink: Ink, width: int) -> list[InkRow]:
    exact, short = f"   = {size:,} B", format_bytes(size)
    if abs(size) < 1024:
        return [(Span(exact, ink),)]
    if len(exact) + 1 + len(short) <= width:
        return [pair(exact, (short,), width, ink, ink)]
    return [*wrapped(exact, width, ink, indent=5), *wrapped(f"   = {short}", width, ink, indent=5)]


def _named(kinds: Sequence[str]) -> list[str]:
    """``kinds`` told apart: a kind that appears again gets a number."""
    seen: Counter[str] = Counter()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(kind if seen[kind] == 1 else f"{kind} {seen[kind]}")
    return names


def _product(view: MemoryView, term: CacheTerm) -> _Product:
    size = _entry(term, view.scenario.kv)
    tokens = _tokens(view, term)
    copies = _Product("R·", f"{term.copies:,}·", "R") if term.copies > 1 else _Product("", "", "")
    return _Product(
        f"{copies.symbols}{size.symbols}·{tokens.symbols}",
        f"{copies.values}{size.values}·{tokens.values}",
        copies.used + size.used + tokens.used,
    )


def _entry(term: CacheTerm, kv: Format) -> _Product:
    """Bytes of one entry in all layers; formats with scales or blocks, and packed ones, as bytes of an entry."""
    layers, cache = f"{term.layers:,}", term.cache
    plain_elements = kv.block == 1 and not kv.vector_scale_bytes and not kv.packed_latent
    if plain_elements and isinstance(cache, Attention):
        heads, width = f"{cache.kv_heads:,}", kv.block_bytes
        if cache.k_dim == cache.v_dim:
            return _Product("2·L·H·D·b", f"2·{layers}·{heads}·{cache.k_dim:,}·{width}", "LHDb")
        return _Product("L·H·(K+V)·b", f"{layers}·{heads}·({cache.k_dim:,}+{cache.v_dim:,})·{width}", "LHKVb")
    if plain_elements and isinstance(cache, Latent):
        return _Product("L·(r+p)·b", f"{layers}·({cache.rank:,}+{cache.rope:,})·{kv.block_bytes}", "Lrpb")
    return _Product("L·e", f"{layers}·{term.entry_bytes:,}", "Le")


def _tokens(view: MemoryView, term: CacheTerm) -> _Product:
    """Entries of all sequences."""
    batch, uniform, cache = view.scenario.batch, view.uniform, term.cache
    symbol, used = _kept(cache)
    if cache.kind == "cross_attention":
        uniform = True
    if batch == 1:
        return _Product(symbol, f"{term.entries:,}", used)
    if uniform:
        return _Product(f"B·{symbol}", f"{batch:,}·{term.entries // batch:,}", f"B{used}")
    return _Product(f"Σ{symbol}", f"{term.entries:,}", used)


def _kept(cache: Attention | Latent | Indexer) -> tuple[str, str]:
    """How many entries a sequence of t tokens keeps, and the symbols of that."""
    match cache:
        case Attention(kind="cross_attention"):
            return "E", "E"
        case Attention(kind="chunked_local"):
            return "min(t,C)", "tC"
        case Attention(cap=int()):
            return "min(t,W)", "tW"
        case Latent(cap=int(), ratio=ratio):
            return (f"min(t÷{ratio},W)" if ratio > 1 else "min(t,W)"), "tW"
        case Latent(ratio=ratio) | Indexer(ratio=ratio) if ratio > 1:
            return f"t÷{ratio}", "t"
    return "t", "t"
