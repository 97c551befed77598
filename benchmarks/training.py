"""The bytes of a real training step in PyTorch beside those that ``kvtui estimate training`` predicts.

    pip install -e '.[peers]'
    python benchmarks/training.py --model SmolLM2-135M --context 512

The model is built anew from its tensors' sizes, with fused norms and attention as in a common training script, and
makes one step. Weights, gradients and states are summed over the real tensors. Activations are the storages that
autograd keeps for the backward pass, each once and without the weights, by its hooks on saved tensors. The peak is the
most that was allocated at once during forward and backward, by the profiler's count.

On a CPU PyTorch has no fused RMSNorm: it keeps the normalised row of each norm too, and both that and the row that came
in as fp32. What that adds stands beside what is predicted for fused ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from kvtui.engine.model.catalogue import get_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.training import (
    LOGITS,
    PRECISIONS,
    WIDE,
    TrainingMemory,
    TrainingSetup,
    training_memory,
)
from kvtui.output.table import Column, render

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-4),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-4, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-4),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-4),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=1e-4),
}


class Block(torch.nn.Module):
    """A layer of grouped attention and SwiGLU."""

    def __init__(self, tensors: dict[str, Any], hidden: int) -> None:
        super().__init__()
        self.sizes = tuple(tensors[name].rows for name in ("q", "k", "v"))
        self.heads, self.kv_heads = tensors["q"].parts, tensors["k"].parts
        for name in ("q", "k", "v", "o", "gate", "up", "down"):
            weight = torch.randn(tensors[name].rows, tensors[name].columns) * tensors[name].columns ** -0.5
            self.register_parameter(name, torch.nn.Parameter(weight))
        self.first, self.second = (torch.nn.Parameter(torch.ones(hidden)) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = functional.rms_norm(x, self.first.shape, self.first)
        q, k, v = (
            functional.linear(y, weight).unflatten(-1, (heads, -1)).transpose(1, 2)
            for weight, heads in ((self.q, self.heads), (self.k, self.kv_heads), (self.v, self.kv_heads))
        )
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + functional.linear(mixed.transpose(1, 2).flatten(2), self.o)
        y = functional.rms_norm(x, self.second.shape, self.second)
        return x + functional.linear(
            functional.silu(functional.linear(y, self.gate)) * functional.linear(y, self.up), self.down
        )


class Decoder(torch.nn.Module):
    """Embedding, blocks, norm and tied head."""

    def __init__(self, model: ModelSpec) -> None:
        super().__init__()
        assert model.hidden
        assert model.vocab
        self.embedding = torch.nn.Parameter(torch.randn(model.vocab, model.hidden) * 0.02)
        self.blocks = torch.nn.ModuleList(
            Block({t.role: t for t in layer.tensors or ()}, model.hidden) for layer in model.layers
        )
        self.norm = torch.nn.Parameter(torch.ones(model.hidden))

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor, recompute: bool) -> torch.Tensor:
        x = functional.embedding(tokens, self.embedding)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False) if recompute else block(x)
        logits = functional.linear(functional.rms_norm(x, self.norm.shape, self.norm), self.embedding)
        return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def storage_bytes(tensors: list[torch.Tensor]) -> int:
    """Bytes of the storages under ``tensors``, each once."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def measured(model: ModelSpec, setup: TrainingSetup) -> dict[str, int]:
    """One real step of ``model``: bytes of its parts."""
    torch.manual_seed(0)
    decoder = Decoder(model).to(torch.bfloat16 if setup.precision == "bf16" else torch.float32)
    optimizer = OPTIMIZERS[setup.optimizer](decoder.parameters())
    tokens = torch.randint(0, model.vocab, (setup.batch, setup.context + 1))
    known = {p.untyped_storage().data_ptr() for p in decoder.parameters()}
    saved: list[torch.Tensor] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in known and tensor.is_floating_point():
            saved.append(tensor)
        return tensor

    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = decoder(tokens[:, :-1], tokens[:, 1:], setup.checkpointing == "full")
        kept = storage_bytes(saved)
        saved.clear()
        loss.backward()
    optimizer.step()
    states = [t for state in optimizer.state.values() for t in state.values() if torch.is_tensor(t) and t.numel() > 1]
    now = most = 0
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        most = max(most, now)
    weights = storage_bytes(list(decoder.parameters()))
    return {
        "weights": weights,
        "gradients": storage_bytes([p.grad for p in decoder.parameters() if p.grad is not None]),
        "states": storage_bytes(states),
        "kept for backward": kept,
        "peak, without states": weights + most,
    }


def predicted(found: TrainingMemory) -> dict[str, int]:
    """The same parts as they are predicted; of the logits autograd keeps one array, the others come when it begins."""
    return {
        "weights": found.weights,
        "gradients": found.gradients,
        "states": found.states,
        "kept for backward": found.activations + found.logits // LOGITS,
        "peak, without states": found.peak - found.states,
    }


def unfused(model: ModelSpec, setup: TrainingSetup) -> dict[str, int]:
    """What norms add that are not fused; under checkpointing it is the last norm alone that adds to what is kept."""
    element = PRECISIONS[setup.precision].activation
    norms = 1 if setup.checkpointing == "full" else 1 + 2 * len(model.layers)
    added = norms * setup.batch * setup.context * (model.hidden or 0) * (2 * WIDE - element)
    found = training_memory(model, setup)
    return {
        "kept for backward": added,
        "peak, without states": found._replace(activations=found.activations + added).peak - found.peak,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="SmolLM2-135M", help="a model of grouped attention and SwiGLU")
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--batch", type=int, default=2)
    args = parser.parse_args()
    model = get_model(args.model)
    if model is None:
        raise SystemExit(f"{args.model}: not in the catalogue")
    setups = [("adamw", "fp32", "none"), ("momentum", "bf16", "none"), ("adafactor", "fp32", "full")]
    setups += [("adam", "bf16", "full"), ("sgd", "bf16", "full")]
    rows = []
    for optimizer, precision, checkpointing in setups:
        setup = TrainingSetup(args.batch, args.context, optimizer, precision, checkpointing)
        real, told, norms = measured(model, setup), predicted(training_memory(model, setup)), unfused(model, setup)
        rows += [
            {
                "setup": f"{optimizer}, {precision}, checkpointing {checkpointing}",
                "part": part,
                "predicted": told[part],
                "norms": norms.get(part),
                "measured": real[part],
                "off": (told[part] + norms.get(part, 0)) / real[part] - 1 if real[part] else None,
            }
            for part in real
        ]
    columns = (
        Column("setup", "setup"),
        Column("part", "part"),
        Column("predicted", "predicted", "right", 0, "{:,}".format),
        Column("norms", "unfused norms", "right", 0, "{:,}".format),
        Column("measured", "measured", "right", 0, "{:,}".format),
        Column("off", "off", "right", 0, "{:+.2%}".format),
    )
    print(render(columns, rows, "text", 140), end="")


if __name__ == "__main__":
    main()
