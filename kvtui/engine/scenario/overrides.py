r"""What ``--override-tensor PATTERN=CPU`` leaves in RAM, where that is the experts of whole layers.

llama.cpp looks for each pattern in the names of a file's tensors. Example: of a model with 48 layers
``blk\.(2[0-9]|3[0-9]|4[0-7])\.ffn_.*_exps\.=CPU`` leaves the experts of 28 layers in RAM.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kvtui.engine.basis.errors import InputError

if TYPE_CHECKING:
    from kvtui.engine.model.spec import ModelSpec

NAME = "override-tensor"
LONGEST = 400
_MATRICES = ("gate", "up", "down")
_OTHERS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down", "ffn_gate_inp", "ssm_in")
_REPEATED_TWICE = re.compile(r"[+*}]\)[+*{]")
"""A repetition of a repetition, which can take a regular expression for ever."""


def patterns(text: str, name: str) -> tuple[re.Pattern[str], ...]:
    """The patterns of ``PATTERN=CPU,...``. Raises InputError for other places, and for what is no pattern."""
    found = []
    for one in text[:LONGEST].split(","):
        pattern, _, place = one.rpartition("=")
        if not pattern or place.strip().upper() != "CPU":
            raise InputError(f"{name}: PATTERN=CPU is known, such as exps=CPU, and no other place than CPU")
        try:
            if _REPEATED_TWICE.search(pattern):
                raise re.error("repeats a repetition")
            found.append(re.compile(pattern.strip()))
        except re.error as error:
            raise InputError(f"{name}: no pattern: {error}") from None
    return tuple(found)


def expert_layers(given: tuple[re.Pattern[str], ...], model: ModelSpec) -> int:
    """How many layers of ``model``, from the first, have as many experts as the patterns ``given`` leave in RAM.

    Of DeepSeek-V3, whose first three layers have none, exps=CPU is 61. Raises InputError where that is less than all
    matrices of a layer's experts, or more.
    """
    count = 0
    for number, layer in enumerate(model.layers):
        if any(_left(given, f"blk.{number}.{part}.weight") for part in _OTHERS):
            raise InputError(f"{NAME}: that is not experts alone; --gpu-layers N leaves whole layers in RAM")
        left = sum(_left(given, f"blk.{number}.ffn_{part}_exps.weight") for part in _MATRICES)
        if layer.experts is None or not left:
            continue
        if left < len(_MATRICES):
            raise InputError(
                f"{NAME}: only {left} of 3 matrices of experts; --cpu-moe N leaves those of N layers in RAM"
            )
        count += 1
    if not count:
        raise InputError(f"{NAME}: no experts of {model.name} have such names")
    return [number for number, layer in enumerate(model.layers, 1) if layer.experts is not None][count - 1]


def _left(given: tuple[re.Pattern[str], ...], name: str) -> bool:
    return any(pattern.search(name) for pattern in given)
