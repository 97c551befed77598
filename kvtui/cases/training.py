"""What is trained: one small model and how, and the named sets of them.

A ``TrainingPlan`` is all that a run's weights depend on, apart from the machine. Attention is a word: "MHA", "GQA-2"
(two KV heads), "MQA", "MLA-32" (a latent of 32 elements). Everything else of a model follows from its width and heads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from typing import Any, Literal, Self

from kvtui.cases.case import TransformerShape
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.untrusted import plain

Tokenisation = Literal["char", "bpe"]
TOKENISATIONS = ("char", "bpe")
MOST_SIZE, MOST_STEPS, MOST_SEED = 65_536, 10_000_000, 2**31 - 1


def _within(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{name.replace('_', '-')}: {plain(repr(value), 40)} is not a number from {low} to {high:,}")


def _is_size(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0


def _experts(text: str) -> tuple[int, int]:
    if not text:
        return 0, 0
    count, _, chosen = text.partition("/")
    if not (_is_size(count) and _is_size(chosen)):
        raise InputError(f"experts: '{plain(text)}' is not experts/experts of a token, such as 4/2")
    return int(count), int(chosen)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """One model and its training.

    ``context`` tokens make a training sequence, ``batch`` of them a step. The learning rate rises for ``warmup`` steps
    and falls along a cosine to a tenth. ``experts`` is "" for a dense model or "4/2", experts and how many a token
    takes. A ``text`` of "" is the built-in one, else what the files of that label hold. ``vocab`` is the most tokens a
    vocabulary may have.
    """

    attention: str = "MHA"
    dim: int = 64
    heads: int = 4
    blocks: int = 2
    experts: str = ""
    context: int = 128
    steps: int = 600
    batch: int = 8
    learning_rate: float = 3e-3
    warmup: int = 50
    seed: int = 0
    tokens: Tokenisation = "char"
    vocab: int = 256
    text: str = ""
    checkpoint_every: int = 50
    evaluate_every: int = 100

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be trained, naming the field."""
        for name in ("dim", "heads", "blocks", "context", "batch"):
            _within(name, getattr(self, name), 1, MOST_SIZE)
        for name in ("steps", "checkpoint_every", "evaluate_every"):
            _within(name, getattr(self, name), 1, MOST_STEPS)
        _within("warmup", self.warmup, 0, MOST_STEPS)
        _within("seed", self.seed, 0, MOST_SEED)
        _within("vocab", self.vocab, 100, MOST_SIZE)
        if self.context < 2:
            raise InputError("context: a training sequence needs 2 tokens at least")
        if isinstance(self.learning_rate, bool) or not 0 < self.learning_rate <= 10:
            raise InputError(f"learning-rate: {self.learning_rate!r} is not above 0 and at most 10")
        if self.tokens not in TOKENISATIONS:
            raise UnknownName("tokenisation", str(self.tokens), TOKENISATIONS, listed=True)
        if self.dim % self.heads or self.dim // self.heads % 2:
            raise InputError(f"heads: {self.heads} heads do not share {self.dim} elements evenly, an even number each")
        self.shape(2)

    @property
    def name(self) -> str:
        """The run's own name: what it is, at a glance, and where it is kept."""
        words = [self.attention, *([f"MoE{self.experts.replace('/', 'k')}"] if self.experts else [])]
        words += [f"L{self.blocks}", f"D{self.dim}", f"H{self.heads}", f"C{self.context}"]
        words += [self.tokens] if self.tokens != "char" else []
        return "_".join([*words, f"s{self.seed}"])

    def shape(self, vocab: int) -> TransformerShape:
        """The model with a vocabulary of ``vocab``. Raises InputError for an attention or experts that are none."""
        head = self.dim // self.heads
        experts, chosen = _experts(self.experts)
        plain_shape = TransformerShape(
            dim=self.dim,
            heads=self.heads,
            head_dim=head,
            kv_heads=self.heads,
            blocks=self.blocks,
            hidden=2 * self.dim if experts else 4 * self.dim,
            vocab=vocab,
            context=self.context,
            experts=experts,
            experts_per_token=chosen,
        )
        kind, _, size = self.attention.partition("-")
        match kind, size:
            case "MHA", "":
                return plain_shape
            case "MQA", "":
                return replace(plain_shape, kv_heads=1)
            case "GQA", _ if _is_size(size):
                return replace(plain_shape, kv_heads=int(size))
            case "MLA", _ if _is_size(size):
                latent = int(size)
                rope = max(2, head // 4 * 2)
                return replace(plain_shape, latent=latent, query_latent=max(latent, self.dim // 2), rope_dim=rope)
        raise InputError(f"attention: '{plain(self.attention)}' is none of MHA, GQA-2, MQA, MLA-32 (any numbers)")

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values, which ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The plan of ``to_json``. Raises InputError for anything else."""
        known = {field.name: type(field.default) for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise UnknownName("field of a training run", str(name), known)
            if type(value) is not known[name]:
                raise InputError(f"{name}: {plain(repr(value), 40)} is not of the type {known[name].__name__}")
        return cls(**values)


ATTENTIONS = ("MHA", "GQA-2", "MQA", "MLA-16", "MLA-32")
"""The variants of the small sets; the models of one size have four heads."""
_SMALL, _MIDDLE = TrainingPlan(dim=32), TrainingPlan(dim=64)


def _each(base: TrainingPlan, attentions: tuple[str, ...], **fields: Any) -> list[TrainingPlan]:
    return [replace(base, attention=attention, **fields) for attention in attentions]


def _paper() -> list[TrainingPlan]:
    """The published study's grid: heads of 32, GQA with a quarter of them, ten latents, dense and with experts."""
    found = []
    for dim, blocks, experts in product((128, 256, 512), (8, 12, 16), ("", "4/2")):
        heads = dim // 32
        latents = (32, 48, 64, 80, 96, 112, 128, 160, 192, 256)
        base = TrainingPlan(dim=dim, heads=heads, blocks=blocks, experts=experts, context=512, batch=64, steps=5000)
        base = replace(base, learning_rate=1e-3, warmup=100, checkpoint_every=250, evaluate_every=250)
        found += _each(base, ("MHA", f"GQA-{heads // 4}", *(f"MLA-{size}" for size in latents)))
    return found


def training_set(name: str) -> list[TrainingPlan]:
    """The runs of the set called ``name``, each with the seed 0 but for the bundled one. Raises UnknownName."""
    match name:
        case "tiny":
            return _each(_MIDDLE, ATTENTIONS)
        case "bundled":
            sizes = [plan for base in (_SMALL, _MIDDLE) for plan in _each(base, ATTENTIONS)]
            routed = [replace(_SMALL, attention=attention, experts="4/2") for attention in ("MHA", "GQA-2", "MLA-32")]
            return [replace(plan, seed=seed) for group in (sizes, routed) for seed in range(3) for plan in group]
        case "paper":
            return _paper()
    raise UnknownName("set", name, SETS, listed=True)


SETS = {
    "tiny": "five attentions of one size, five minutes on two cores",
    "bundled": "what comes with kvtui: five attentions of two sizes, three with experts, three seeds each",
    "paper": "the published study's grid of 216 models; for an accelerator",
}
"""The sets and what they are."""
