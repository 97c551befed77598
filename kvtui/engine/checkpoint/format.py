"""A checkpoint format: a recipe that says for every tensor of a model how it is stored.

The families of recipes are Hugging Face's quantisation methods (``checkpoint.hf``) and, beside them, those of GGUF file
types; both make values of this one type.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.model.tensors import Role, Tensor

Part = Literal["outside", "layer", "mtp"]
"""Where a tensor lies: in no layer, in one of the model's, or in a multi-token-prediction layer."""


class Place(NamedTuple):
    """A tensor's place in a model; ``layer`` counts from 0, prediction layers after all others."""

    part: Part
    layer: int = 0


class EncodingRule(NamedTuple):
    """Tensors of ``roles`` (None: all) in ``parts`` are stored in this ``encoding``, if ``named`` says so where given.

    ``named`` is asked with role and place. A row that is no whole number of groups does not match a rule that says
    ``whole``. A rule with a ``tensor`` means that one alone, and one with ``layers`` what lies in the model's layers of
    those numbers.
    """

    encoding: Encoding
    roles: frozenset[Role] | None
    parts: frozenset[Part] = frozenset({"outside", "layer"})
    named: Callable[[Role, Place], bool] | None = None
    whole: bool = False
    tensor: Tensor | None = None
    layers: frozenset[int] | None = None

    def applies(self, tensor: Tensor, place: Place) -> bool:
        """Whether ``tensor`` at ``place`` is one of those meant."""
        if (self.roles is not None and tensor.role not in self.roles) or place.part not in self.parts:
            return False
        if self.layers is not None and (place.part != "layer" or place.layer not in self.layers):
            return False
        if self.tensor is not None and self.tensor != tensor:
            return False
        if self.whole and not self.encoding.fits(tensor.columns):
            return False
        return self.named is None or self.named(tensor.role, place)


class CheckpointFormat(NamedTuple):
    """How weights are stored: the first of ``rules`` that applies to a tensor, or ``plain``.

    ``meaning`` is one sentence for people. ``by_layer`` says that a rule tells layers apart by their number.
    """

    name: str
    meaning: str
    plain: Encoding
    rules: tuple[EncodingRule, ...] = ()
    by_layer: bool = False

    def __hash__(self) -> int:
        return hash((self.name, len(self.rules)))

    def first_alike(self, layers: tuple[int, ...]) -> tuple[int, ...]:
        """The first layer that each one is stored like, where ``layers`` are those that each is shaped like."""
        if not self.by_layer:
            return layers
        if any(rule.named is not None for rule in self.rules):
            return tuple(range(len(layers)))
        sets = {rule.layers for rule in self.rules if rule.layers is not None}
        first: dict[tuple[int, ...], int] = {}
        return tuple(
            first.setdefault((kind, *(number in one for one in sets)), number) for number, kind in enumerate(layers)
        )

    def encoding(self, tensor: Tensor, place: Place) -> Encoding:
        """How ``tensor`` at ``place`` is stored."""
        return next((rule.encoding for rule in self.rules if rule.applies(tensor, place)), self.plain)
