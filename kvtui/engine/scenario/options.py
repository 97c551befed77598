"""The table of a scenario's options, the one place that knows them all.

The command line and its help, what can be typed in the app, the remembered scenario and the report's ``scenario`` are
derived from it. A new option is a field of the Scenario and a row here.
"""

from __future__ import annotations

from kvtui.engine.scenario.limits import (
    MAX_BATCH,
    MAX_BLOCK_TOKENS,
    MAX_DEVICES,
    MAX_DRAFT_LAYERS,
    MAX_LAYERS,
    MAX_SPECULATIVE_TOKENS,
    MAX_STAGES,
)
from kvtui.engine.scenario.notation import (
    ACCEPTANCE,
    ALL2ALL,
    DEVICE,
    ENGINE,
    FILE_SIZE,
    FILL,
    FORMAT,
    MEMORY,
    PATTERNS,
    RATE,
    RATIO,
    RATIOS,
    SHARE,
    SIZE,
    STATE_FORMAT,
    SWITCH,
    TOKENS,
    WEIGHTS,
    WHAT_IF,
    WORD,
    count,
    layers,
    several,
    unsaid,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from kvtui.engine.engines.known import EngineDefaults
    from kvtui.engine.model.spec import ModelSpec
    from kvtui.engine.scenario.notation import Notation

    DefaultRule = Callable[[ModelSpec, EngineDefaults], Any]

DEFAULT_MODEL = "Llama-3.1-8B"
DEFAULT_DEVICE = "H100 SXM"
DEFAULT_CONTEXT = 8192


_NOTHING: Mapping[str, Any] = {}


class Option:
    """One option of a scenario; it never changes. A plain class, as a tuple's names would take long to make at a start.

    ``notation`` is how its value is spelt, and ``field`` where that is put, in the Scenario or a part of it: ``batch``,
    ``serving.max_seqs``; empty for an option that says a part of another's value,
    or implies others alone. ``report`` is the value's key in the
    report where that is not the field's name, or, where the report shows something else, keys with fields.
    ``default`` is the value of an option that is not given: a text, or a rule over the model and the engine's own
    defaults; None leaves it to the field. Only what differs from the default is written into a command line, unless
    ``always``. ``implies`` are keys of options that this one gives a value while they have none of their own.
    A switch takes no value and has a ``--no-`` form unless it is ``one_way``. ``aliases`` are other keys to type, and
    ``flags`` other words of a command line, those of the engine's own. ``bare`` is the value of a flag without one.
    """

    def __init__(
        self,
        name: str,
        metavar: str,
        notation: Notation,
        field: str,
        help: str,
        *,
        report: str | Mapping[str, str] = "",
        default: str | DefaultRule | None = None,
        implies: Mapping[str, Callable[[Any], Any]] = _NOTHING,
        always: bool = False,
        one_way: bool = False,
        aliases: tuple[str, ...] = (),
        flags: tuple[str, ...] = (),
        bare: str | None = None,
    ) -> None:
        self.name = name
        self.metavar = metavar
        self.notation = notation
        self.field = field
        self.help = help
        self.report = report
        self.default = default
        self.implies = implies
        self.always = always
        self.one_way = one_way
        self.aliases = aliases
        self.flags = flags
        self.bare = bare

    @property
    def key(self) -> str:
        """The option's key in a mapping of values."""
        return self.name.replace("-", "_")

    @property
    def switch(self) -> bool:
        """Whether it is on or off and takes no value."""
        return self.notation is SWITCH

    @property
    def shown(self) -> Mapping[str, str]:
        """The keys that the report has of it, each with the field of the Scenario that it shows."""
        if isinstance(self.report, str):
            return {self.report or self.field.rpartition(".")[2]: self.field}
        return self.report


def _as_given(value: str) -> str:
    return value


def _first_context(model: ModelSpec, engine: EngineDefaults) -> int:
    return min(DEFAULT_CONTEXT, model.max_context or DEFAULT_CONTEXT)


def _stored_format(model: ModelSpec, engine: EngineDefaults) -> str | None:
    return engine.weight_dtype


_MODEL_AND_DEVICES = (
    Option(
        "model",
        "MODEL",
        WORD,
        "model_ref",
        "name (also llama3.1:8b or ORG/NAME-GGUF:Q4_K_M), config.json, folder, FILE.gguf or hf:ORG/NAME",
        report={"model": "ref"},
        default=DEFAULT_MODEL,
        always=True,
    ),
    Option(
        "gpu",
        "NAME",
        DEVICE,
        "device",
        "device of the catalogue, also '2x 3090', 'own 48GB 1200GB/s', or local for this machine's",
        report={"gpu": "device.name"},
        default=DEFAULT_DEVICE,
        always=True,
        aliases=("device",),
    ),
    Option(
        "gpus",
        "N",
        count(MAX_DEVICES, write=unsaid),
        "layout.devices",
        "number of devices; without --tp/--pp/--dp the widest valid split is taken",
        report="gpus",
        aliases=("devices",),
    ),
    Option(
        "memory",
        "SIZE",
        MEMORY,
        "device.resized",
        "memory of one device where it is sold with several, such as 64GiB, instead of the catalogue's",
        report="memory_bytes",
        default=lambda model, engine: None,
    ),
    Option("tp", "N", count(MAX_DEVICES), "layout.tp", "tensor-parallel ranks"),
    Option("pp", "N", count(MAX_DEVICES), "layout.pp", "pipeline stages"),
    Option("dp", "N", count(MAX_DEVICES), "layout.dp", "replicas, each with its share of the sequences"),
    Option("ep", "", SWITCH, "expert_parallel", "expert parallelism: whole experts over the ranks of all replicas"),
)
_FORMATS = (
    Option(
        "dtype",
        "F",
        FORMAT,
        "",
        "format of weights and KV: bf16, fp16, fp32, fp8, int8, int4, q8_0, ...",
        report={},
        implies={"weight_dtype": _as_given, "kv_dtype": _as_given},
    ),
    Option(
        "weight-dtype",
        "FORMAT",
        WEIGHTS,
        "weight_dtype",
        "format of the weights alone, by default as published: bf16, fp8, awq, gptq, w4a16, nvfp4, mxfp4, q8_0, ...",
        default=_stored_format,
        always=True,
        aliases=("weights",),
    ),
    Option("kv-dtype", "F", FORMAT, "kv_dtype", "format of K and V alone", always=True, aliases=("kv",)),
    Option(
        "k-dtype", "F", FORMAT, "", "format of K, where V has another", report={"k_dtype": "k_dtype"}, flags=("-ctk",)
    ),
    Option(
        "v-dtype", "F", FORMAT, "", "format of V, where K has another", report={"v_dtype": "v_dtype"}, flags=("-ctv",)
    ),
)
_WORKLOAD = (
    Option(
        "context",
        "TOKENS",
        TOKENS,
        "context",
        "most tokens of one sequence: 131072, 128K, 1M (K = 1024)",
        report="context_tokens",
        default=_first_context,
        always=True,
    ),
    Option("batch", "N", count(MAX_BATCH), "batch", "sequences", always=True, aliases=("users",)),
    Option(
        "lengths",
        "N,N,...",
        several(TOKENS, MAX_BATCH, "values"),
        "lengths",
        "tokens that each sequence holds now",
        report="lengths_tokens",
        implies={"batch": len, "context": max},
    ),
    Option(
        "fill",
        "HOW",
        FILL,
        "fill",
        "how full the sequences are: full (default), average (a mix of lengths, about a third), or percent",
    ),
    Option(
        "cb",
        "",
        SWITCH,
        "continuous_batching",
        "continuous batching: sequences hold what they use, which is all of the context unless --fill says less",
    ),
    Option("pa", "", SWITCH, "paged_attention", "paged attention: blocks handed out as sequences grow"),
    Option("fa", "", SWITCH, "flash_attention", "FlashAttention: no score matrix in memory (default)"),
    Option("skip-weights", "", SWITCH, "skip_weights", "plan the cache alone", one_way=True),
    Option(
        "shared-prefix",
        "TOKENS",
        TOKENS,
        "shared_prefix",
        "tokens common to all sequences, stored once (with --pa)",
        report="shared_prefix_tokens",
    ),
    Option(
        "block-size",
        "N",
        count(MAX_BLOCK_TOKENS),
        "block_size",
        "tokens of a block (default 16, or the engine's)",
        report="block_size_tokens",
        default=lambda model, engine: engine.block_size,
    ),
    Option(
        "max-batched-tokens",
        "N",
        TOKENS,
        "max_batched_tokens",
        "tokens of one prefill step (default 8192, or the engine's for the device)",
        default=lambda model, engine: engine.max_batched_tokens,
    ),
    Option(
        "speculative-tokens",
        "N",
        count(MAX_SPECULATIVE_TOKENS),
        "speculative_tokens",
        "drafted tokens: counts the model's MTP layers, or --draft-layers",
    ),
    Option(
        "acceptance",
        "SHARE|FILE",
        ACCEPTANCE,
        "acceptance",
        "share of drafted tokens that is accepted (0.7 is assumed), or results.json of kvtui bench ensemble",
    ),
    Option(
        "what-if",
        "SPEC",
        WHAT_IF,
        "model.what_if",
        "no engine's: mqa, gqa:8, mla:512+64, swa:4096@5:1, evict:2048, sinks:4+2044, lowrank:256, quant:2/32",
        default="",
    ),
)
_MEMORY = (
    Option(
        "kv-pool",
        "SIZE",
        SIZE,
        "kv_pool",
        "cache memory per device, such as 5.33GiB, instead of what is left over",
        report="kv_pool_bytes",
    ),
    Option("ram", "SIZE", SIZE, "ram", "the machine's RAM, for what its devices do not hold", report="ram_bytes"),
    Option(
        "ram-bandwidth",
        "GB/s",
        RATE,
        "ram_gbs",
        "bandwidth of the RAM (default: two channels' span, of more than 256 GiB a server's)",
        report="ram_bandwidth_gbs",
    ),
    Option(
        "bandwidth",
        "GB/s",
        RATE,
        "bandwidth_gbs",
        "what decode steps were measured to read per device, instead of the published figure",
    ),
    Option(
        "gpu-memory-utilization",
        "X",
        SHARE,
        "memory_utilization",
        "share of usable memory to plan with, above 0 and at most 1",
        report="gpu_memory_utilization",
        default=lambda model, engine: engine.memory_utilization,
    ),
)
_ENGINE = (
    Option(
        "engine",
        "NAME[@VERSION]",
        ENGINE,
        "engine",
        "who allocates: vllm@0.20, llama.cpp, sglang, tensorrt-llm or none (default)",
        report={"engine": "engine", "engine_version": "serving.version"},
        default="none",
        always=True,
    ),
    Option("max-seqs", "N", count(MAX_BATCH), "serving.max_seqs", "most sequences that the engine runs together"),
    Option(
        "prefix-caching",
        "",
        SWITCH,
        "serving.prefix_caching",
        "keep the caches of finished prompts (default: the engine's choice)",
    ),
    Option(
        "draft-layers",
        "N",
        count(MAX_DRAFT_LAYERS),
        "serving.draft_layers",
        "layers of an external drafter, such as 1 for an EAGLE head (vLLM)",
    ),
    Option(
        "hybrid-manager",
        "",
        SWITCH,
        "serving.hybrid_manager",
        "free what windowed layers no longer need (default: the engine's choice for the model)",
    ),
    Option(
        "eager",
        "",
        SWITCH,
        "serving.eager",
        "no CUDA graphs, and no memory for them (vLLM's --enforce-eager)",
        one_way=True,
    ),
    Option(
        "async-scheduling",
        "",
        SWITCH,
        "serving.async_scheduling",
        "schedule a batch while another runs, which windows must keep (vLLM's choice by default)",
    ),
    Option(
        "all2all-backend",
        "NAME",
        ALL2ALL,
        "serving.all2all",
        "what hands tokens to other replicas' experts (vLLM): deepep_low_latency, deepep_high_throughput, ...",
        report="all2all_backend",
    ),
    Option(
        "mamba-cache-dtype",
        "F",
        STATE_FORMAT,
        "serving.conv_dtype",
        "format of conv states, and of recurrent ones that the model declares none for (vLLM): bf16, fp16 or fp32",
        report="mamba_cache_dtype",
    ),
    Option(
        "mamba-ssm-cache-dtype",
        "F",
        STATE_FORMAT,
        "serving.state_dtype",
        "format of recurrent states (vLLM; SGLang's --mamba-ssm-dtype): bf16, fp16 or fp32",
        report="mamba_ssm_cache_dtype",
    ),
    Option(
        "max-total-tokens",
        "N",
        TOKENS,
        "serving.max_total_tokens",
        "most tokens of the token pool (SGLang)",
    ),
    Option(
        "swa-full-tokens-ratio",
        "X",
        SHARE,
        "serving.swa_full_tokens_ratio",
        "windowed tokens for each token of the full pool (SGLang, default 0.8)",
    ),
    Option(
        "mamba-full-memory-ratio",
        "X",
        RATIO,
        "serving.mamba_full_memory_ratio",
        "memory of recurrent states for each byte of the token pool (SGLang, default 0.9)",
    ),
    Option(
        "max-mamba-cache-size",
        "N",
        count(MAX_BATCH),
        "serving.max_mamba_cache_size",
        "slots of recurrent state (SGLang)",
    ),
    Option(
        "pp-partition",
        "N,N,...",
        several(count(MAX_STAGES), MAX_STAGES, "stages"),
        "serving.partition",
        "layers of each pipeline stage",
        report="pp_partition",
        implies={"pp": len},
    ),
    Option(
        "parallel",
        "N",
        count(MAX_BATCH),
        "serving.parallel",
        "server slots that divide the context (llama.cpp)",
        flags=("-np",),
    ),
    Option(
        "kv-unified",
        "",
        SWITCH,
        "serving.kv_unified",
        "server slots share one cache (llama.cpp; default without --parallel)",
        flags=("-kvu",),
    ),
    Option(
        "ubatch",
        "N",
        TOKENS,
        "serving.ubatch",
        "physical batch in tokens (llama.cpp, default 512)",
        report="ubatch_tokens",
    ),
    Option(
        "swa-full",
        "",
        SWITCH,
        "serving.swa_full",
        "the whole context for windowed layers (llama.cpp)",
        one_way=True,
    ),
    Option(
        "gpu-layers",
        "N",
        layers(MAX_LAYERS),
        "serving.gpu_layers",
        "layers on the devices, the others in RAM (llama.cpp; default all, with --ram what fits)",
        flags=("--n-gpu-layers", "-ngl"),
    ),
    Option(
        "cpu-moe",
        "N",
        layers(MAX_LAYERS),
        "serving.cpu_moe",
        "layers, from the first, whose experts are in RAM (llama.cpp; without N all)",
        flags=("--n-cpu-moe",),
        bare="all",
    ),
    Option(
        "override-tensor",
        "PATTERN=CPU",
        PATTERNS,
        "",
        "experts in RAM, as --cpu-moe, of the layers whose names have the pattern: exps=CPU for all",
        report={},
        flags=("-ot",),
    ),
    Option(
        "tensor-split",
        "A,B,...",
        RATIOS,
        "serving.tensor_split",
        "shares of the layers by device, such as 3,1 (llama.cpp)",
        implies={"pp": len},
        flags=("-ts",),
    ),
    Option(
        "main-gpu",
        "N",
        layers(MAX_STAGES),
        "serving.main_gpu",
        "the one device, from 0, that has the whole model (llama.cpp's --split-mode none)",
        flags=("-mg",),
    ),
    Option("kv-offload", "", SWITCH, "serving.kv_offload", "caches lie where their layers do, not in RAM (llama.cpp)"),
    Option(
        "draft-model",
        "MODEL",
        WORD,
        "serving.draft_ref",
        "a small model that drafts, with weights and cache of its own (llama.cpp)",
        report="draft_model",
    ),
    Option(
        "mmproj",
        "SIZE|FILE",
        FILE_SIZE,
        "serving.mmproj",
        "a vision projector beside the model (llama.cpp)",
        report="mmproj_bytes",
    ),
    Option(
        "cache-ram",
        "SIZE",
        SIZE,
        "serving.cache_ram",
        "RAM for the caches of finished prompts (llama.cpp)",
        report="cache_ram_bytes",
    ),
    Option(
        "profile",
        "NAME",
        WORD,
        "serving.measured",
        "a machine's overheads, saved by kvtui reconcile --save-profile, instead of priors",
        report={"profile": "measured.name"},
    ),
)

GROUPS = {
    "model and devices": _MODEL_AND_DEVICES,
    "formats": _FORMATS,
    "workload": _WORKLOAD,
    "memory": _MEMORY,
    "engine": _ENGINE,
}
"""The options by the heading that they stand under in the help."""

OPTIONS = tuple(option for rows in GROUPS.values() for option in rows)
