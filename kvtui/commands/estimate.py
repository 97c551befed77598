"""``kvtui estimate``: what a made-up shape caches as MHA, GQA, MLA, with windows or states, and what experts weigh.

What training a model keeps is ``estimate_training``'s.

The options are those of the memory estimators in Raschka's *Build a Large Language Model (From Scratch)*, chapter 4.
Their ``n_kv_groups``, which is the number of KV heads in one script and of queries per KV head in others, is
``--kv-heads`` or ``--queries-per-kv-head`` here.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvtui import __version__
from kvtui.commands import estimate_training as training
from kvtui.commands.answer import Answer
from kvtui.commands.described import FORMATS, described
from kvtui.commands.parser import add_table, choose
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GB, GIB, format_bytes, parse_count, parse_tokens
from kvtui.engine.model import estimators as est
from kvtui.engine.model.estimators import Dims, Estimated, Item
from kvtui.output.json import json_text
from kvtui.output.table import Column, TableRows

if TYPE_CHECKING:
    from kvtui.figures.figure import Figure

SCHEMA = 1
MOST = 10_000_000
SHAPE = ("emb_dim", "n_heads", "n_layers")
WORKLOAD = ("context_length", "batch_size", "dtype")
SHARING = ("kv_heads", "queries_per_kv_head")
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "mha": (*SHAPE, *WORKLOAD),
    "gqa": (*SHAPE, *WORKLOAD, *SHARING),
    "mla": (*SHAPE, *WORKLOAD, *SHARING, "latent_dim", "rope_dim"),
    "swa": (*SHAPE, *WORKLOAD, *SHARING, "sliding_window_size", "ratio"),
    "deltanet": (*SHAPE, *WORKLOAD, "ratio"),
    "moe": ("emb_dim", "dtype", "hidden_dim", "ffn_type", "num_experts", "top_k", "match_dense"),
    "training": (
        *("model", "optimizer", "precision", "checkpointing", "zero", "devices", "context_length", "batch_size"),
        *("fsdp", "accumulate", "no_fa"),
    ),
}
"""The options that each kind of estimate has."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "mla": {"rope_dim": est.ROPE_DIM},
    "deltanet": {"emb_dim": 2048, "n_heads": 16, "n_layers": 48, "ratio": (3, 1)},
    "swa": {"ratio": (1, 0)},
    "moe": {"num_experts": 8, "top_k": 2},
}
KINDS = tuple(OPTIONS)
NAMES = {"ratio": "--swa-ratio", "n_kv_groups": "--n-kv-groups"}
WORDS = ("dtype", "ffn_type", "model", "optimizer", "precision", "checkpointing")

ShapeValues = dict[str, Any]


def add(parser: argparse.ArgumentParser) -> None:
    """The kind of estimate, and the shape."""
    parser.description = (
        "Cache bytes of a shape as MHA, GQA, MLA, with sliding windows or DeltaNet states, the weights of experts, and "
        "what training a model keeps on each device."
    )
    kinds = "mha, gqa, mla, swa, deltanet, moe or training"
    parser.add_argument("kind", metavar="KIND", nargs="?", default="", help=kinds)
    for name, metavar, what in (
        ("emb-dim", "N", "width"),
        ("n-heads", "N", "attention heads"),
        ("n-layers", "N", "layers"),
        ("kv-heads", "N", "KV heads"),
        ("queries-per-kv-head", "N", "query heads that share a KV head, instead of --kv-heads"),
        ("context-length", "TOKENS", "tokens of a sequence (default 1024)"),
        ("batch-size", "N", "sequences (default 1)"),
        ("dtype", "F", "fp32, bf16 (default), fp16, fp8 or int8"),
        ("latent-dim", "N", "mla: elements of the latent"),
        ("rope-dim", "N", "mla: elements of the rotary key beside it (default 64, as DeepSeek's)"),
        ("sliding-window-size", "TOKENS", "swa: tokens of a window"),
        ("hidden-dim", "N", "moe: width of the dense layer"),
        ("ffn-type", "KIND", "moe: swiglu (default) or gelu"),
        ("num-experts", "N", "moe: experts (default 8)"),
        ("top-k", "N", "moe: experts that run for a token (default 2)"),
        *training.options(),
    ):
        parser.add_argument(f"--{name}", metavar=metavar, help=what)
    parser.add_argument(
        "--swa-ratio",
        "--ratio",
        dest="ratio",
        metavar="A:B",
        help="swa: windowed to full layers (default 1:0); deltanet: DeltaNet to full ones (default 3:1)",
    )
    parser.add_argument("--match-dense", action="store_true", help="moe: experts that weigh what the dense layer does")
    parser.add_argument("--fsdp", action="store_true", help="training: shard all over --devices, as --zero 3")
    parser.add_argument("--accumulate", action="store_true", help="training: gradients of several passes are added")
    parser.add_argument("--no-fa", action="store_true", help="training: attention keeps its scores")
    parser.add_argument("--n-kv-groups", help=argparse.SUPPRESS)
    parser.add_argument("--plot", action="store_true", help="draw it over context too, or into -o FILE")
    add_table(parser, FORMATS)


def run(args: argparse.Namespace) -> int:
    """Print the estimate, or draw it with ``--plot``, and return the exit code.

    Raises InputError for options that are wrong, missing, or of another kind of estimate, and OSError when the answer
    cannot be written.
    """
    answer = Answer(args, args.format)
    choose("format", args.format, FORMATS)
    values = read_options(args.kind, vars(args))
    look = answer.width, answer.color, answer.ascii_only
    if args.kind == "training":
        shown = training.render(values, args.format, *look)
    else:
        shown = render(estimated(args.kind, values), args.format, *look)
    if args.plot:
        return _plot(shown, figure(args.kind, values), args.format, answer)
    answer.write(shown)
    return 0


def read_options(kind: str, given: Mapping[str, Any]) -> ShapeValues:
    """The values of ``kind``'s options from the words ``given`` (None: not given), with defaults put in.

    Raises UnknownName for a kind, InputError for a word that is wrong, missing, or of another kind.
    """
    if kind not in OPTIONS:
        if not kind:
            raise InputError(f"estimate: of which kind? {', '.join(KINDS)}")
        raise UnknownName("estimate", kind, KINDS)
    if given.get("n_kv_groups") is not None:
        both = "--kv-heads N, how many there are, or --queries-per-kv-head N, how many queries share one"
        raise InputError(f"--n-kv-groups: has been used for two things; give {both}")
    for other in OPTIONS.values():
        for name in other:
            if name not in OPTIONS[kind] and given.get(name) not in (None, False):
                owners = ", ".join(one for one, names in OPTIONS.items() if name in names)
                raise InputError(f"{_flag(name)}: does not belong to {kind}, but to {owners}")
    defaults = DEFAULTS.get(kind, {})
    values = {name: _read(name, given.get(name), defaults.get(name)) for name in OPTIONS[kind]}
    for name in (*SHAPE, "latent_dim", "sliding_window_size", "hidden_dim"):
        if name in values and values[name] is None:
            raise InputError(f"{_flag(name)}: {kind} needs it")
    return values


def estimated(kind: str, values: ShapeValues) -> Estimated:
    """The estimate of ``kind``. Raises InputError for sizes that do not go together."""
    if kind == "moe":
        return est.moe(
            values["emb_dim"],
            values["hidden_dim"],
            values["num_experts"],
            values["top_k"],
            **_given(ffn=values["ffn_type"], dtype=values["dtype"]),
            match=bool(values["match_dense"]),
        )
    dims = _dims(values)
    match kind:
        case "mha":
            return est.mha(dims)
        case "gqa":
            return est.gqa(dims, _kv_heads(values))
        case "mla":
            return est.mla(dims, _kv_heads(values), values["latent_dim"], values["rope_dim"])
        case "swa":
            return est.swa(dims, _kv_heads(values), values["sliding_window_size"], values["ratio"])
        case _:
            return est.deltanet(dims, values["ratio"])


def figure(kind: str, values: ShapeValues) -> Figure:
    """The estimate's curve: over context, for experts over their number, for training over devices."""
    from kvtui.figures import estimates

    if kind == "training":
        return training.figure(values)
    if kind == "moe":
        return estimates.experts_by_count(
            values["emb_dim"],
            values["hidden_dim"],
            values["top_k"],
            **_given(ffn=values["ffn_type"], dtype=values["dtype"]),
            match=bool(values["match_dense"]),
        )
    dims = _dims(values)
    shape = (dims.emb_dim, dims.heads, dims.layers, dims.batch, dims.dtype)
    match kind:
        case "mha":
            return estimates.groups_by_context(*shape, queries=())
        case "gqa":
            return estimates.groups_by_context(*shape, queries=(dims.heads // _kv_heads(values),))
        case "mla":
            queries, rope = dims.heads // _kv_heads(values), values["rope_dim"]
            return estimates.latents_by_context(*shape, (values["latent_dim"],), queries, rope, exact_width=False)
        case "swa":
            queries = dims.heads // _kv_heads(values)
            window, ratio = values["sliding_window_size"], values["ratio"]
            return estimates.windows_by_context(*shape, window, ratio, queries, exact_width=False)
        case _:
            return estimates.states_by_context(*shape, values["ratio"])


def render(found: Estimated, format: str, width: int = 80, color: bool = False, ascii_only: bool = False) -> str:
    """``found`` as text, CSV, Markdown, JSON or HTML, ending in a newline."""
    columns, rows = _columns(found), [_row(item, found) for item in found.items]
    if format == "json":
        return json_text(_document(found, columns, rows))
    return described(found.kind, found.facts, columns, rows, format, width, color, ascii_only)


def _plot(shown: str, drawn: Figure, form: str, answer: Answer) -> int:
    from kvtui.commands import plot

    ending = "" if answer.output is None else Path(answer.output).suffix.lstrip(".").casefold()
    if ending in plot.FORMATS and ending != "txt":
        return plot.put([drawn], answer)
    if form != "text":
        raise InputError(f"--plot: goes with text, or with -o FILE.svg and the like, not with {form}")
    answer.write(f"{shown}\n{plot.draw([drawn], answer.width, answer.color, answer.ascii_only)}")
    return 0


def _document(found: Estimated, columns: tuple[Column, ...], rows: TableRows) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "kvtui": __version__,
        "kind": found.kind,
        "facts": dict(found.facts),
        "items": [{column.key: row[column.key] for column in columns} for row in rows],
    }


def _columns(found: Estimated) -> tuple[Column, ...]:
    what = "weights" if found.kind == "moe" else "cache"
    counted = (Column("parameters", "parameters", "right", 1, lambda n: f"{n:,}"),) if found.kind == "moe" else ()
    by_token = (Column("bytes_per_token", "per token", "right", 0, lambda n: f"{n:,} B"),) if _by_token(found) else ()
    return (
        Column("name", what),
        Column("bytes", "bytes", "right", 0, lambda n: f"{n:,}"),
        Column("gib", "size", "right", 1, lambda n: format_bytes(round(n * GIB))),
        Column("gb", "GB", "right", 3, lambda n: f"{n:,.2f}"),
        *by_token,
        *counted,
        Column("compression", f"{found.items[0].name} is", "right", 2, lambda n: f"{n:,.2f}×"),
        Column("saved_percent", "saved", "right", 2, lambda n: f"{n:.2f} %"),
    )


def _by_token(found: Estimated) -> bool:
    """Whether a token takes as many bytes as every other."""
    return all(item.per_token is not None for item in found.items)


def _row(item: Item, found: Estimated) -> dict[str, Any]:
    base = found.items[0].bytes
    return {
        "name": item.name,
        "bytes": item.bytes,
        "gib": item.bytes / GIB,
        "gb": round(item.bytes / GB, 6),
        "bytes_per_token": item.per_token,
        "parameters": item.parameters,
        "compression": round(base / item.bytes, 4) if item.bytes else None,
        "saved_percent": round(100 * (1 - item.bytes / base), 4) if base else None,
    }


def _read(name: str, word: Any, default: Any) -> Any:
    if not isinstance(word, str):
        return default if word is None else word
    match name:
        case _ if name in WORDS:
            return word
        case "ratio":
            return est.parse_ratio(word, _flag(name))
        case "context_length" | "sliding_window_size":
            return parse_tokens(word, _flag(name))
        case _:
            return parse_count(word, _flag(name), MOST)


def _dims(values: ShapeValues) -> Dims:
    named = {"context": values["context_length"], "batch": values["batch_size"], "dtype": values["dtype"]}
    return est.check(Dims(values["emb_dim"], values["n_heads"], values["n_layers"], **_given(**named)))


def _given(**values: Any) -> ShapeValues:
    """The values that are not None."""
    return {name: value for name, value in values.items() if value is not None}


def _kv_heads(values: ShapeValues) -> int:
    return est.kv_heads_of(values["n_heads"], values["kv_heads"], values["queries_per_kv_head"])


def _flag(name: str) -> str:
    return NAMES.get(name, f"--{name.replace('_', '-')}")
