"""Fields that quantisation configs have in common: lists of modules, group sizes, blocks."""

from __future__ import annotations

from collections.abc import Iterable

from kvtui.engine.basis.json_object import shown
from kvtui.engine.checkpoint.encoding import ALL
from kvtui.engine.checkpoint.format import CheckpointFormat, EncodingRule, Part
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.checkpoint.hf.modules import Modules, named_modules
from kvtui.engine.checkpoint.hf.usual import MATRICES
from kvtui.engine.model.tensors import Role
from kvtui.engine.sources.hf.fields import Config

EVERYWHERE: frozenset[Part] = frozenset({"outside", "layer", "mtp"})
LINEAR: frozenset[Role] = MATRICES.union(("recurrent_gate", "per_layer", "shared_router", "tower"))
"""What a method that takes every linear module takes, the head apart; engines keep routers in 16 bits."""


def made(config: Config, name: str, said: str, rules: tuple[EncodingRule, ...], *skipped: str) -> CheckpointFormat:
    """The format whose ``rules`` hold for all modules that the lists under ``skipped`` do not name."""
    named = [entry for field in skipped for entry in entries(config, field)]
    plain = recipes.plain()
    if named:
        rules = (EncodingRule(plain, None, EVERYWHERE, modules(config, skipped[0], named)), *rules)
    meaning = f"{said}, as the file's quantization_config has it"
    return CheckpointFormat(name, meaning, plain, rules, tells_layers_apart(rules))


def tells_layers_apart(rules: Iterable[EncodingRule]) -> bool:
    """Whether one of ``rules`` names modules by the number of their layer."""
    return any(isinstance(rule.named, Modules) and rule.named.numbered for rule in rules)


def modules(config: Config, field: str, names: Iterable[str]) -> Modules:
    """The modules that the ``names`` under ``field`` mean."""
    return named_modules(names, lambda problem: config.error(field, problem))


def entries(config: Config, field: str) -> tuple[str, ...]:
    """A list of names, untrusted; () where there is none."""
    value = config.raw(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise config.error(field, f"{shown(value)} is not a list")
    for item in value:
        if not isinstance(item, str):
            raise config.error(field, f"{shown(item)} is not text")
    return tuple(value)


def group_size(config: Config, *fields: str, usual: int | None = None) -> int:
    """A group size; -1 is the whole row. Raises InputError where it is missing and there is no ``usual`` one."""
    for field in fields:
        if config.raw(field) == -1:
            return ALL
    found = config.maybe(*fields)
    if found is None and usual is None:
        raise config.error(fields[0], "is missing")
    return usual or ALL if found is None else found


def shown_group(group: int) -> str:
    """A group size in words."""
    return "row" if group == ALL else str(group)


def block(config: Config, field: str) -> tuple[int, int]:
    """Rows and columns of a block that shares a scale."""
    sizes = config.numbers(field, least=1)
    if sizes is None or len(sizes) != 2:
        raise config.error(field, "is not a pair of sizes such as [128, 128]")
    return sizes[0], sizes[1]
