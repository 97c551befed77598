"""The table of a scenario's options: what the command line offers and the app can set by typing."""

from __future__ import annotations

from collections import namedtuple


class Option(namedtuple("Option", "name metavar help switch one_way", defaults=(False, False))):
    """One option of a scenario. A ``switch`` takes no value and has a ``--no-`` form unless it is ``one_way``."""

    __slots__ = ()
    name: str
    metavar: str
    help: str
    switch: bool
    one_way: bool

    @property
    def key(self) -> str:
        """The option's key in a mapping of values."""
        return self.name.replace("-", "_")


OPTIONS = (
    Option("model", "MODEL", "catalogue name, config.json, folder, FILE.gguf or hf:ORG/NAME"),
    Option("gpu", "NAME", "device of the catalogue"),
    Option("gpus", "N", "number of devices; without --tp/--pp/--dp the widest valid split is taken"),
    Option("tp", "N", "tensor-parallel ranks"),
    Option("pp", "N", "pipeline stages"),
    Option("dp", "N", "replicas, each with its share of the sequences"),
    Option("dtype", "F", "format of weights and KV: bf16, fp16, fp32, fp8, int8, int4, q8_0, ..."),
    Option("weight-dtype", "F", "format of the weights alone"),
    Option("kv-dtype", "F", "format of K and V alone"),
    Option("context", "TOKENS", "most tokens of one sequence: 131072, 128K, 1M (K = 1024)"),
    Option("batch", "N", "sequences"),
    Option("lengths", "N,N,...", "tokens that each sequence holds now"),
    Option("cb", "", "continuous batching: sequences hold what they use", switch=True),
    Option("pa", "", "paged attention: blocks handed out as sequences grow", switch=True),
    Option("fa", "", "FlashAttention: no score matrix in memory (default)", switch=True),
    Option("skip-weights", "", "plan the cache alone", switch=True, one_way=True),
    Option("shared-prefix", "TOKENS", "tokens common to all sequences, stored once (with --pa)"),
    Option("block-size", "N", "tokens of a block (default 16, or the engine's)"),
    Option("max-batched-tokens", "N", "tokens of one prefill step (default 8192, or the engine's for the device)"),
    Option("speculative-tokens", "N", "drafted tokens: counts the model's MTP layers, or --draft-layers"),
    Option("kv-pool", "SIZE", "cache memory per device, such as 5.33GiB, instead of what is left over"),
    Option("gpu-memory-utilization", "X", "share of usable memory to plan with, above 0 and at most 1"),
    Option("engine", "NAME[@VERSION]", "who allocates: vllm@0.20, llama.cpp, sglang, tensorrt-llm or none (default)"),
    Option("max-seqs", "N", "most sequences that the engine runs together"),
    Option("prefix-caching", "", "keep the caches of finished prompts (default: the engine's choice)", switch=True),
    Option("draft-layers", "N", "layers of an external drafter, such as 1 for an EAGLE head (vLLM)"),
    Option("hybrid-manager", "", "free what windowed layers no longer need (vLLM's choice by default)", switch=True),
    Option("pp-partition", "N,N,...", "layers of each pipeline stage"),
    Option("parallel", "N", "server slots that divide the context (llama.cpp)"),
    Option("ubatch", "N", "physical batch in tokens (llama.cpp, default 512)"),
    Option("swa-full", "", "the whole context for windowed layers (llama.cpp)", switch=True, one_way=True),
    Option("profile", "NAME", "a machine's overheads, saved by kvtui reconcile --save-profile, instead of priors"),
    Option("bandwidth", "GB/s", "what decode steps were measured to read per device, instead of the published figure"),
)
