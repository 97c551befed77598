"""The names that modules have in checkpoints, so that a file's lists of them can be understood.

A quantisation config names modules that it leaves alone, or treats in another way: by path (``lm_head``,
``model.layers.0.mlp.gate``), by glob (``*.linear_attn.*``) or by regular expression (``re:.*self_attn.*``). Models
spell the same role in different ways; an entry means a role if it matches any of the spellings.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.format import Place
from kvtui.engine.checkpoint.hf.regex import Regex, parse_regex
from kvtui.engine.model.tensors import Role

MAX_ENTRIES = 65_536
MAX_PATTERNS = 128
MAX_NUMBERED_PATTERNS = 32

_ATTENTION = ("self_attn", "mixer", "attn", "attention")
_DENSE = ("mlp", "feed_forward", "mixer")
_SPARSE = ("mlp", "block_sparse_moe", "feed_forward", "mixer", "moe")
_RECURRENT = ("linear_attn", "mixer", "mamba", "conv")


def _each(holders: Iterable[str], *modules: str) -> tuple[str, ...]:
    return tuple(f"{holder}.{module}" for holder in holders for module in modules)


def _expert(*modules: str) -> tuple[str, ...]:
    """Routed experts, one by one (the first stands for all) or stacked."""
    stacked = _each(_SPARSE, "experts"), ("experts",)
    single = _each(_SPARSE, *(f"experts.0.{module}" for module in modules))
    return (*single, *(f"{holder}.{module}" for holders in stacked for holder in holders for module in modules))


def _shared(*modules: str) -> tuple[str, ...]:
    holders = (*_each(_SPARSE, "shared_expert", "shared_experts", "shared_mlp"), "shared_mlp")
    return _each(holders, *modules)


_SPELLINGS: dict[Role, tuple[str, ...]] = {
    "q": _each(_ATTENTION, "q_proj", "qkv_proj"),
    "k": _each(_ATTENTION, "k_proj", "qkv_proj"),
    "v": _each(_ATTENTION, "v_proj", "qkv_proj"),
    "o": _each(_ATTENTION, "o_proj", "out_proj", "dense"),
    "q_a": ("self_attn.q_a_proj", "attn.wq_a"),
    "q_b": ("self_attn.q_b_proj", "attn.wq_b"),
    "kv_a": ("self_attn.kv_a_proj_with_mqa", "attn.wkv"),
    "kv_b": ("self_attn.kv_b_proj",),
    "compressor": _each(("self_attn", "attn"), "compressor"),
    "indexer": _each(("self_attn.indexer", "attn.indexer"), "wq_b", "wk"),
    "indexer_gate": _each(("self_attn.indexer", "attn.indexer"), "weights_proj"),
    "gate": _each(_DENSE, "gate_proj", "gate_up_proj", "w1"),
    "up": _each(_DENSE, "up_proj", "gate_up_proj", "w3"),
    "down": _each(_DENSE, "down_proj", "w2"),
    "router": (*_each(_SPARSE, "gate", "router", "router.layer"), "router.proj"),
    "expert_gate": _expert("gate_proj", "gate_up_proj", "w1"),
    "expert_up": _expert("up_proj", "gate_up_proj", "w3"),
    "expert_down": _expert("down_proj", "w2"),
    "expert_latent": ("mixer.fc1_latent_proj", "mixer.fc2_latent_proj"),
    "shared_gate": _shared("gate_proj", "gate_up_proj", "input_linear"),
    "shared_up": _shared("up_proj", "gate_up_proj", "input_linear"),
    "shared_down": _shared("down_proj", "output_linear"),
    "shared_router": _each(_SPARSE, "shared_expert_gate"),
    "recurrent_in": (
        *_each(("linear_attn",), "in_proj_qkvz", "in_proj_qkv", "in_proj_z"),
        *_each(("mixer", "mamba", "conv"), "in_proj"),
    ),
    "recurrent_gate": (
        *_each(("linear_attn",), "in_proj_ba", "in_proj_a", "in_proj_b"),
        *_each(("mamba",), "x_proj", "dt_proj"),
    ),
    "recurrent_out": _each(_RECURRENT, "out_proj"),
    "conv": (*_each(("linear_attn", "mixer", "mamba"), "conv1d"), "conv.conv"),
    "per_layer": ("per_layer_input_gate", "per_layer_projection", "per_layer_model_projection"),
    "mtp_in": ("fc", "eh_proj"),
}
_TOWERS = (
    "visual",
    "vision_tower",
    "vision_model",
    "vision_encoder",
    "multi_modal_projector",
    "audio_tower",
    "embed_vision",
    "embed_audio",
)
_OUTSIDE: dict[Role, tuple[str, ...]] = {
    "embedding": ("embed_tokens",),
    "head": ("lm_head",),
    "tower": (*_TOWERS, *(f"{tower}.blocks.0" for tower in _TOWERS)),
}
_NUMBER = re.compile(r"(?<![A-Za-z0-9_])[0-9]|\\d")
_ROOTS = ("model", "language_model", "backbone", "transformer")
_PREFIXES = {
    "model.": "",
    "": "",
    "model.language_model.": "language_model",
    "language_model.model.": "language_model",
    "backbone.": "backbone",
}
"""What may stand before a path, and the word by which a pattern shows that it reckons with it."""


@dataclass(frozen=True)
class Modules:
    """The modules that a file's entries name: ``paths`` split at their dots, and ``patterns``."""

    paths: frozenset[tuple[str, ...]]
    patterns: tuple[Regex, ...]

    def __call__(self, role: Role, place: Place) -> bool:
        """Whether the module of ``role`` at ``place`` is named; a tower is if any of its modules is."""
        if role == "tower" and self._of_towers:
            return True
        if self.paths and any(self._named(path) for path in _paths(role, place)):
            return True
        alike = Place(place.part)
        return any(_matches(role, place if _numbered(pattern) else alike, pattern) for pattern in self.patterns)

    @property
    def numbered(self) -> bool:
        """Whether an entry may tell layers apart by their number."""
        return any(part.isdigit() for path in self.paths for part in path) or any(map(_numbered, self.patterns))

    def _named(self, path: tuple[str, ...]) -> bool:
        """Whether an entry is a run of whole components of ``path``; one that begins with a layer is its beginning."""
        return any(
            path[start : start + length] in self.paths
            for start, word in enumerate(path)
            if start == 0 or word != "layers"
            for length in self._lengths.get(word, ())
        )

    @cached_property
    def _lengths(self) -> dict[str, frozenset[int]]:
        """By first component, how long the entries are that begin with it."""
        found: dict[str, set[int]] = {}
        for path in self.paths:
            found.setdefault(path[0], set()).add(len(path))
        return {word: frozenset(lengths) for word, lengths in found.items()}

    @cached_property
    def _of_towers(self) -> bool:
        return any(part in _TOWERS for path in self.paths for part in path)


def named_modules(entries: Iterable[str], where: Callable[[str], InputError]) -> Modules:
    """The modules that untrusted ``entries`` name; ``where`` makes the error for a problem with them.

    Raises InputError for patterns that are not understood, and for too many entries.
    """
    paths: set[tuple[str, ...]] = set()
    patterns: dict[str, Regex] = {}
    for count, entry in enumerate(entries, 1):
        if count > MAX_ENTRIES:
            raise where(f"has more than {MAX_ENTRIES:,} entries")
        if not entry.startswith("re:") and (path := _path(entry)) is not None:
            paths.add(path)
            continue
        pattern = entry[3:] if entry.startswith("re:") else _glob(entry)
        if pattern not in patterns:
            try:
                patterns[pattern] = parse_regex(pattern)
            except InputError as error:
                raise where(str(error)) from None
    if len(patterns) > MAX_PATTERNS or sum(map(_numbered, patterns.values())) > MAX_NUMBERED_PATTERNS:
        raise where(f"has more than {MAX_PATTERNS} patterns, or than {MAX_NUMBERED_PATTERNS} with numbers")
    return Modules(frozenset(paths), tuple(patterns.values()))


def _numbered(pattern: Regex) -> bool:
    """Whether ``pattern`` has a digit that belongs to no name such as conv1d, or stands for some digits."""
    return _NUMBER.search(pattern.pattern) is not None


def _path(entry: str) -> tuple[str, ...] | None:
    """The components of an entry that is a path, or a path with what is inside it (``lm_head*``); None for a glob."""
    whole = entry.removesuffix("*").removesuffix(".")
    if not whole or "*" in whole or "?" in whole or (whole != entry and whole[-1].isdigit()):
        return None
    return _components(whole)


def _glob(entry: str) -> str:
    """A glob as a regular expression for a module or what is inside it; quantisers of a module end in a name of theirs.

    ``*.mlp.gate.*`` means the quantisers of a module ``mlp.gate``.
    """
    entry = entry.removesuffix(".*") if entry.count("*") > 1 else entry
    wild = {"*": ".*", "?": "."}
    body = "".join(wild.get(sign) or (sign if sign.isalnum() or sign == "_" else f"\\{sign}") for sign in entry)
    return f"{body}(\\..*)?$"


def _components(entry: str) -> tuple[str, ...]:
    """An entry's path from its layers on, or without the names of what holds the language model."""
    parts = tuple(entry.split("."))
    for at, part in enumerate(parts):
        if part in ("layers", "mtp"):
            return parts[at:]
    while len(parts) > 1 and parts[0] in _ROOTS:
        parts = parts[1:]
    return parts


@lru_cache(maxsize=4096)
def _paths(role: Role, place: Place) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(name.split(".")) for name in _spelled(role, place))


def _spelled(role: Role, place: Place) -> Iterator[str]:
    """The paths of a module from its layers on."""
    match place.part:
        case "outside":
            yield from _OUTSIDE.get(role, ())
        case "layer":
            yield from (f"layers.{place.layer}.{module}" for module in _SPELLINGS.get(role, ()))
        case "mtp":
            yield from (f"mtp.layers.0.{module}" for module in _SPELLINGS.get(role, ()))
            yield from (f"mtp.{module}" for module in _SPELLINGS.get(role, ()))
            yield from (f"layers.{place.layer}.{module}" for module in _SPELLINGS.get(role, ()))


@lru_cache(maxsize=4096)
def _matches(role: Role, place: Place, pattern: Regex) -> bool:
    return any(pattern.match(name) for name in _names(role, place, pattern))


def _names(role: Role, place: Place, pattern: Regex) -> Iterator[str]:
    """Whole names that ``pattern`` may mean; prefixes that it does not mention are as good as the usual one.

    Any spelling will do, but for a pattern that says what a name must not contain: there only the usual one.
    """
    spelled = list(_spelled(role, place))
    for prefix, word in _PREFIXES.items():
        if word in pattern.pattern:
            for path in spelled[:1] if "(?!" in pattern.pattern else spelled:
                yield prefix + path
