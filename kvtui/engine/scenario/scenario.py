"""Everything the user chose, frozen and checked: the input of a plan."""

from math import prod
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_GBS, MAX_TOKENS
from kvtui.engine.checkpoint.format import CheckpointFormat
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.weights import used_bytes, wide_bits
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import check_format, divides_experts, places_layers
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.model.formats import APART, Format, kv_format
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.limits import MAX_BATCH, MAX_BLOCK_TOKENS, MAX_DEVICES

PLAIN_DTYPE = "bf16"
"""How weights and cache are stored unless something else is said."""
BLOCK_TOKENS = 16
BATCHED_TOKENS = 8192
UBATCH_TOKENS = 512
FILE_WEIGHTS = "file"
FULL, AVERAGE = "full", "average"
USUAL_ACCEPTANCE = 0.7
"""The share of drafted tokens that is accepted where none is told: an assumption, and said to be one."""
WHOLE_DEVICE = 1.0
NODE_DEVICES = 8
ALL2ALL_BACKENDS = (
    "allgather_reducescatter",
    "deepep_high_throughput",
    "deepep_low_latency",
    "deepep_v2",
    "flashinfer_nvlink_one_sided",
    "flashinfer_nvlink_two_sided",
    "mori_high_throughput",
    "mori_low_latency",
    "naive",
    "nixl_ep",
    "pplx",
)


def usual_weights(model: ModelSpec) -> str:
    """The format of a model's weights where none is chosen: its file's, its name's, its publisher's, else bf16."""
    if model.weight_bytes is not None:
        return FILE_WEIGHTS
    return model.named_weights or model.published_weights or PLAIN_DTYPE


class Layout(NamedTuple):
    """How a model is spread: ``tp`` tensor-parallel ranks × ``pp`` pipeline stages × ``dp`` full replicas."""

    tp: int = 1
    pp: int = 1
    dp: int = 1

    @property
    def devices(self) -> int:
        """Devices in all."""
        return self.tp * self.pp * self.dp


ONE_DEVICE = Layout()


class ServingOptions(NamedTuple):
    """What only a serving engine asks for; None leaves the choice to the engine.

    ``version`` is the engine's release. ``max_seqs`` bounds the sequences that run together, ``parallel`` is the number
    of server slots that llama.cpp was told to divide its context between and ``ubatch`` its physical batch in tokens;
    ``swa_full`` gives its windowed layers the whole context. ``hybrid_manager`` off makes vLLM treat windowed layers as
    full ones, and ``async_scheduling`` off makes it settle each batch before the next. ``partition`` is the number of
    layers of each pipeline stage. ``draft_layers`` is the number of layers of an external drafter such as an EAGLE
    head, which cache like the model's full-attention layers. ``eager`` captures no CUDA graphs. ``state_dtype`` is the
    format of recurrent states, and ``conv_dtype`` that of conv states and of recurrent ones that nothing else decides.
    ``max_total_tokens`` bounds SGLang's token pool, ``swa_full_tokens_ratio`` is its windowed pool's share of that,
    ``mamba_full_memory_ratio`` what states take for each byte of tokens, and ``max_mamba_cache_size`` their slots.
    ``all2all`` is what hands tokens to other replicas' experts (vLLM). ``measured`` replaces priors.

    Where layers lie (llama.cpp): ``gpu_layers`` of them on the devices and the experts of the first ``cpu_moe`` in RAM,
    by the shares of ``tensor_split``, or all on the device ``main_gpu``; caches beside their layers with
    ``kv_offload``. ``kv_unified`` lets slots share one cache. ``draft_model``, named ``draft_ref``, drafts; ``mmproj``
    bytes are a vision projector's, and ``cache_ram`` bytes of RAM hold finished prompts.
    """

    version: str = ""
    max_seqs: int | None = None
    prefix_caching: bool | None = None
    parallel: int | None = None
    ubatch: int = UBATCH_TOKENS
    swa_full: bool = False
    hybrid_manager: bool | None = None
    async_scheduling: bool | None = None
    partition: tuple[int, ...] | None = None
    draft_layers: int = 0
    eager: bool = False
    conv_dtype: str | None = None
    state_dtype: str | None = None
    max_total_tokens: int | None = None
    swa_full_tokens_ratio: float | None = None
    mamba_full_memory_ratio: float | None = None
    max_mamba_cache_size: int | None = None
    all2all: str | None = None
    measured: Overheads | None = None
    kv_unified: bool | None = None
    gpu_layers: int | None = None
    cpu_moe: int = 0
    tensor_split: tuple[float, ...] | None = None
    main_gpu: int | None = None
    kv_offload: bool = True
    draft_ref: str | None = None
    draft_model: ModelSpec | None = None
    mmproj: int = 0
    cache_ram: int | None = None

    @property
    def placing(self) -> str:
        """The first option that says where layers lie; empty if none does."""
        if self.gpu_layers is not None:
            return "gpu-layers"
        if self.tensor_split is not None:
            return "tensor-split"
        if self.main_gpu is not None:
            return "main-gpu"
        if self.cpu_moe:
            return "cpu-moe"
        return "" if self.kv_offload else "no-kv-offload"

    @property
    def unplaced(self) -> "ServingOptions":
        """The same without what says where layers lie."""
        return self._replace(gpu_layers=None, cpu_moe=0, tensor_split=None, main_gpu=None, kv_offload=True)


NO_SERVING_OPTIONS = ServingOptions()


class ScenarioFields(NamedTuple):
    """What a ``Scenario`` is made of; it explains the fields and checks them."""

    model: ModelSpec
    device: DeviceSpec
    context: int
    batch: int = 1
    layout: Layout = ONE_DEVICE
    expert_parallel: bool = False
    weight_dtype: str = PLAIN_DTYPE
    kv_dtype: str = PLAIN_DTYPE
    continuous_batching: bool = False
    paged_attention: bool = False
    flash_attention: bool = True
    skip_weights: bool = False
    lengths: tuple[int, ...] | None = None
    fill: str = FULL
    shared_prefix: int = 0
    block_size: int = BLOCK_TOKENS
    max_batched_tokens: int = BATCHED_TOKENS
    speculative_tokens: int = 0
    acceptance: float | None = None
    kv_pool: int | None = None
    memory_utilization: float = WHOLE_DEVICE
    engine: str = "none"
    serving: ServingOptions = NO_SERVING_OPTIONS
    bandwidth_gbs: float | None = None
    ram: int | None = None
    ram_gbs: float | None = None
    model_ref: str = ""


class Scenario(ScenarioFields):
    """A model on devices under a workload.

    ``context`` is the most tokens one sequence may reach and ``batch`` the number of sequences. ``lengths`` are the
    tokens each sequence holds now; None means that each is as full as ``fill`` says: "full" for all of the context,
    "average" for the reference's mix of lengths, or a share such as "30%". ``shared_prefix`` tokens are common to
    all sequences. ``kv_pool`` (bytes per device) replaces the memory left over for the cache;
    ``speculative_tokens`` are drafted in a step, of which a share ``acceptance`` is accepted (None: the usual one).
    ``memory_utilization`` is the share of usable memory that may be planned. ``engine`` allocates, told the
    ``serving`` options. ``bandwidth_gbs`` is what a decode step on one such device was measured to read, in 10**9
    bytes per second; it replaces the published bandwidth and the share expected of it. ``weight_dtype`` "file"
    means the bytes that the model's own file holds. ``expert_parallel`` divides whole experts over the ranks of all
    replicas together; attention stays each replica's own. ``model_ref`` is how the model was named on a command
    line; empty for its own name. ``ram`` is the machine's own memory in bytes, None where nothing was said of it, and
    ``ram_gbs`` what its CPU reads of it in 10**9 bytes per second.

    Raises InputError on construction when the parts contradict each other.
    """

    if not TYPE_CHECKING:  # whose signatures stay those of the fields

        def __init__(self, *_values, **_named):
            self._check()

        @classmethod
        def _make(cls, values):
            return cls(*values)

    def _check(self) -> None:
        """Raises InputError when the parts contradict each other."""
        layout = self.layout
        for field, value, most in (
            ("context", self.context, MAX_TOKENS),
            ("batch", self.batch, MAX_BATCH),
            ("gpus", layout.devices, MAX_DEVICES),
            ("pp", layout.pp, len(self.model.layers)),
            ("block-size", self.block_size, MAX_BLOCK_TOKENS),
            ("max-batched-tokens", self.max_batched_tokens, MAX_TOKENS),
        ):
            if not 1 <= value <= most:
                raise InputError(f"{field}: {value:,} is out of range (1 to {most:,})")
        if self.bandwidth_gbs is not None and not 0 < self.bandwidth_gbs <= MAX_GBS:
            raise InputError(f"bandwidth: {self.bandwidth_gbs} GB/s is out of range (above 0, at most {MAX_GBS:,})")
        usable = self.device.usable_bytes
        if usable and not int(usable * self.memory_utilization):
            raise InputError(f"gpu-memory-utilization: {self.memory_utilization:g} leaves not one byte of the device")
        if self.weight_dtype != FILE_WEIGHTS:
            checkpoint_format(self.weight_dtype, self.model)
        elif self.model.weight_bytes is None:
            raise InputError(f"weight-dtype: {self.model.name} was not read from a file that holds weights")
        if layout.dp > self.batch:
            raise InputError(f"dp: {layout.dp:,} replicas have no sequence each: the batch is {self.batch:,}")
        if self.expert_parallel and not has_experts(self.model):
            raise InputError(f"ep: {self.model.name} has no routed experts")
        if self.expert_parallel and not divides_experts(self.engine):
            raise InputError(f"ep: {self.engine} gives each device whole layers")
        self.model.check_tp(layout.tp)
        for cache, _ in self.model.caches:
            cache.entry_bytes(self.kv, layout.tp)
        if self.engine != "none":
            check_format(self.engine, self.kv)
        if self.lengths is not None:
            if len(self.lengths) != self.batch:
                raise InputError(f"lengths: {len(self.lengths):,} given for a batch of {self.batch:,}")
            if max(self.lengths) > self.context:
                raise InputError(f"lengths: {max(self.lengths):,} tokens exceed the context of {self.context:,}")
        if self.fill not in (FULL, AVERAGE) and not 1 <= self.fill_percent < 100:
            raise InputError(f"fill: {self.fill} is not full, average or from 1% to 99%")
        if self.shared_prefix and not self.paged_attention:
            raise InputError("shared-prefix: sharing needs paged attention (--pa)")
        partition = self.serving.partition
        if partition is not None and (len(partition) != layout.pp or sum(partition) != len(self.model.layers)):
            wanted = f"{layout.pp} stages of {len(self.model.layers)} layers in all"
            raise InputError(f"pp-partition: {','.join(map(str, partition))} is not {wanted}")
        serving = self.serving
        if placing := serving.placing:
            self._check_placing(placing)
        if serving.all2all is not None and self.engine != "vllm":
            raise InputError("all2all-backend: vllm alone is told how tokens reach other replicas' experts")
        if self.model.what_if and self.engine != "none":
            raise InputError(f"what-if: {self.engine} allocates what the model has; leave one of the two out")
        if self.acceptance is not None and not 0 <= self.acceptance <= 1:
            raise InputError(f"acceptance: {self.acceptance:g} is not a share from 0 to 1")
        if self.speculative_tokens and not self.model.mtp and not (serving.draft_layers or serving.draft_model):
            raise InputError(f"speculative-tokens: {self.model.name} has no multi-token-prediction layers")

    def _check_placing(self, placing: str) -> None:
        """Raises InputError when what is said of layers, first of all by the option ``placing``, contradicts itself."""
        serving, layout = self.serving, self.layout
        if not places_layers(self.engine):
            raise InputError(f"{placing}: llama.cpp alone is told where layers lie (--engine llama.cpp)")
        if layout.tp > 1:
            raise InputError(f"{placing}: whole layers lie on a device: --gpus or --pp, not --tp")
        if serving.tensor_split is not None and len(serving.tensor_split) != layout.pp:
            raise InputError(f"tensor-split: {len(serving.tensor_split)} shares for {layout.pp} devices")
        if serving.partition is not None and placing in ("gpu-layers", "tensor-split", "main-gpu"):
            raise InputError(f"pp-partition: {placing} says already which layers a device has")
        if serving.main_gpu is not None and serving.main_gpu >= layout.pp:
            raise InputError(f"main-gpu: there is no device {serving.main_gpu}, they are 0 to {layout.pp - 1}")
        if serving.cpu_moe and not has_experts(self.model):
            raise InputError(f"cpu-moe: {self.model.name} has no routed experts")

    @property
    def ref(self) -> str:
        """How the model is named on a command line."""
        real = self.model.real
        return self.model_ref or (real.name if isinstance(real, ModelSpec) else self.model.name)

    @property
    def kv(self) -> Format:
        """The format of K and V."""
        return self.model.what_if_kv or kv_format(self.kv_dtype)

    @property
    def k_dtype(self) -> str:
        """The name of K's format."""
        return self.kv.name.partition(APART)[0]

    @property
    def v_dtype(self) -> str:
        """The name of V's format."""
        return self.kv.v.name

    @property
    def drafts_itself(self) -> bool:
        """Whether the model's own prediction layers draft: with speculative tokens and no external drafter."""
        return bool(self.speculative_tokens) and not self.serving.draft_layers

    @property
    def fill_percent(self) -> int:
        """How full each sequence is, in percent of the context; 0 where they differ."""
        if self.fill == FULL:
            return 100
        digits = self.fill.removesuffix("%")
        return int(digits) if digits.isdecimal() else 0

    @property
    def weights_key(self) -> str:
        """What the weights of one device depend on."""
        ranks = f"tp {self.layout.tp}, pp {self.layout.pp}"
        ranks += f", ep {self.layout.tp * self.layout.dp}" if self.expert_parallel else ""
        return f"{self.model.name} as {self.weight_dtype}, {ranks}"

    @property
    def measured(self) -> Overheads | None:
        """What was measured under this engine, with the weights if they are of this model, format and split."""
        found = self.serving.measured
        if found is None or found.engine not in ("", self.engine):
            return None
        return found if found.weights_of in ("", self.weights_key) else found._replace(weights=None)

    @property
    def weight_bits(self) -> float:
        """Average bits of one weight; of a model whose weights are not known, those of a wide matrix."""
        model, form = self.model, self.checkpoint
        if self.weight_dtype == FILE_WEIGHTS:
            return 8 * (model.weight_bytes or 0) / (model.parameters or 1)
        assert form is not None
        return 8 * used_bytes(model, form) / model.parameters if model.parameters else wide_bits(form)

    @property
    def checkpoint(self) -> CheckpointFormat | None:
        """How the weights are stored; None where they are those of a file that does not say it in a form known here."""
        if self.weight_dtype == FILE_WEIGHTS:
            return self.model.stored if isinstance(self.model.stored, CheckpointFormat) else None
        return checkpoint_format(self.weight_dtype, self.model)


def resolve_layout(
    model: ModelSpec, gpus: int | None, tp: int | None, pp: int | None, dp: int | None, engine: str = "none"
) -> Layout:
    """The layout meant by the numbers given; what is not given is filled from ``gpus``.

    Left-over devices go to the widest valid tensor parallelism within a node of eight, then to pipeline stages, then to
    replicas; an ``engine`` that gives each device whole layers has stages alone. Raises InputError when the numbers do
    not multiply to ``gpus``.
    """
    if gpus is None:
        return Layout(tp or 1, pp or 1, dp or 1)
    given = prod(n for n in (tp, pp, dp) if n is not None)
    if gpus % given or (gpus != given and None not in (tp, pp, dp)):
        raise InputError(f"gpus: {gpus} devices are not tp × pp × dp = {given}")
    rest = gpus // given
    if tp is None:
        tp = 1 if places_layers(engine) else max(n for n in valid_tps(model) if rest % n == 0 and n <= NODE_DEVICES)
        rest //= tp
    if pp is None:
        pp = rest if dp is not None else max(n for n in range(1, len(model.layers) + 1) if rest % n == 0)
        rest //= pp
    return Layout(tp, pp, dp or rest)


def has_experts(model: ModelSpec) -> bool:
    """Whether ``model`` has routed experts."""
    return any(layer.experts is not None for layer, _ in model.counted)


def valid_tps(model: ModelSpec) -> tuple[int, ...]:
    """Tensor-parallel degrees that ``model`` can be divided by, ascending; 1 is always among them."""
    return tuple(tp for tp in range(1, model.max_tp + 1) if tp == 1 or _divides(model, tp))


def _divides(model: ModelSpec, tp: int) -> bool:
    try:
        model.check_tp(tp)
    except InputError:
        return False
    return True
