"""llama.cpp's boot log, of the builds from 2024 to b11549, and those of the programs that it is inside of.

The lines are those of ``llama-kv-cache.cpp`` (and ``llama-kv-cache-unified.cpp`` before b6200), its windowed twin,
``llama-memory-recurrent.cpp``, ``llama-context.cpp``, ``llama-model.cpp`` and the server. LM Studio and koboldcpp print
them as they are, Ollama too unless its own engine runs, which says the same in words of its own. Several contexts may
be made in one start: the model's own is the first, those of draft models follow. A number has a decimal comma where the
machine's language does.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.units import GIB, KIB, MIB
from kvtui.engine.bootlog.observed import LoggedBuffer, Size, size
from kvtui.engine.bootlog.patterns import (
    COMMAND,
    CONFIG,
    LINE,
    Gathered,
    LogReader,
    Take,
    error,
    flags,
    line,
    option,
    word,
)
from kvtui.engine.model.formats import canonical

ENGINE = "llama.cpp"
EXPECTED = {
    "version": "the build",
    "model": "the model",
    "context": "the context (n_ctx)",
    "ubatch": "the physical batch (n_ubatch)",
    "weights": "the weights' buffers (model buffer size)",
    "KV": "the KV cache (llama_kv_cache: size)",
    "compute": "the compute buffers",
}
AUTOMATIC_SLOTS = 4
HOST = ("CPU", "Host", "AMX", "BLAS")

_FLAGS = {
    "-m": "model",
    "--model": "model",
    "-hf": "model",
    "--hf-repo": "model",
    "-c": "context",
    "--ctx-size": "context",
    "-ub": "ubatch",
    "--ubatch-size": "ubatch",
    "-np": "parallel",
    "--parallel": "parallel",
    "-ngl": "gpu_layers",
    "--gpu-layers": "gpu_layers",
    "--n-gpu-layers": "gpu_layers",
    "-ncmoe": "cpu_moe",
    "--n-cpu-moe": "cpu_moe",
    "-ctk": "kv_dtype",
    "--cache-type-k": "kv_dtype",
    "--kv-cache-type": "kv_dtype",
    "-ctv": "v_dtype",
    "--cache-type-v": "v_dtype",
}
_SWITCHES = {
    "--swa-full": ("swa_full", True),
    "-kvu": ("kv_unified", True),
    "--kv-unified": ("kv_unified", True),
    "-nkvo": ("kv_offload", False),
    "--no-kv-offload": ("kv_offload", False),
}
_FLASH = ("-fa", "--flash-attn")
_FLASH_BY_ITSELF = 6325
"""Builds before this one use FlashAttention only if they are told to, which their contexts print as flash_attn."""
_KOBOLD_FORMATS = {"0": "f16", "1": "q8_0", "2": "q4_0"}
_UNITS = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "B": 1}


def rank_of(text: str) -> str:
    """llama.cpp is one process."""
    return ""


def on_host(device: str) -> bool:
    """Whether a buffer's ``device`` is main memory."""
    return any(name in device for name in HOST)


def _size(text: str, unit: int = MIB) -> Size:
    """``text``, a number of so many bytes, with a decimal point or comma."""
    return size(text.replace(",", "."), unit)


def _start(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A start of a build; one that was made outside of llama.cpp's own repository has the number 0."""
    gathered.restart()
    if int(match[1]):
        gathered.word("version", f"b{match[1]}")


def _worded(build: str, age: int) -> Take:
    """Takes a line as one that was worded so about ``build``; of several wordings the one of the greatest ``age``."""

    def take(gathered: Gathered, match: re.Match[str], rank: str) -> None:
        gathered.word("wording", build, age)

    return take


def _command(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    for flag, value in flags(match[0]):
        key = _FLAGS.get(flag)
        if key == "model":
            gathered.word("model", value, COMMAND)
        elif key in ("kv_dtype", "v_dtype"):
            gathered.option(key, canonical(value), COMMAND)
        elif key == "gpu_layers":
            gathered.count("gpu_layers", rank, value)
        elif key and value != "0":
            gathered.whole_option(key, value, COMMAND)
        elif flag in _SWITCHES:
            gathered.option(*_SWITCHES[flag], COMMAND)
        elif flag in _FLASH and value != "auto":
            gathered.option("fa", value not in ("off", "0"), COMMAND)


def _kobold(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """The arguments that koboldcpp prints."""
    told = dict(re.findall(r"(\w{1,30})=('[^']{0,400}'|[^,()]{1,40})", match[0]))
    named = told.get("model_param") or told.get("model") or ""
    gathered.word("model", str(named).strip("'"), COMMAND)
    gathered.whole_option("context", told.get("contextsize"), COMMAND)
    gathered.option("kv_dtype", canonical(_KOBOLD_FORMATS.get(told.get("quantkv", ""), "")) or None, COMMAND)


def _request(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """What Ollama asks its own engine for."""
    told = dict(re.findall(r"(\w{1,30}):(\w{0,40})", match[0]))
    gathered.whole_option("context", told.get("KvSize"), LINE)
    gathered.whole_option("ubatch", told.get("BatchSize"), LINE)
    gathered.count("n_seq_max", rank, told.get("Parallel", ""))
    gathered.option("kv_dtype", canonical(told.get("KvCacheType", "")) or None, LINE)
    if "FlashAttention" in told:
        gathered.option("fa", told["FlashAttention"] in ("true", "Enabled"), CONFIG)


def _ollama(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A part of the memory as Ollama's own engine lists it."""
    key = {"model weights": "weights", "kv cache": "caches", "compute graph": "compute"}[match[1]]
    gathered.size(key, match[2], _size(match[3], _UNITS[match[4]]))


def _context_begins(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.contexts += 1
    gathered.next_kind = "KV"


def _draft_begins(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """What follows is a draft's."""
    gathered.contexts = max(1, gathered.contexts) + 1
    gathered.next_kind = "KV"


def _parameter(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """One of the parameters that a context prints; the first context's are the model's own."""
    name, text = match[1], match[2]
    if gathered.contexts > 1:
        return
    match name:
        case "n_ctx":
            gathered.whole_option("context", text, LINE)
        case "n_ubatch":
            gathered.whole_option("ubatch", text, LINE)
        case "n_seq_max" | "n_ctx_seq" | "n_ctx_per_seq" | "n_batch" | "n_rs_seq":
            gathered.count(name, rank, text)
        case "kv_unified":
            gathered.word("kv_unified", text)
        case "flash_attn" if text != "auto":
            gathered.option("fa", text in ("enabled", "1", "true"), CONFIG)


def _flash(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.option("fa", match[1] == "enabled", LINE)


def _creating(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    name = " ".join(match[1].split())
    gathered.next_kind = "KV" if name in ("", "non-SWA", "main") else f"{name} KV"


def _kv(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    total, cells, layers, slots, streams, k_format, v_format = match.groups()
    if layers == "0":
        return
    if gathered.contexts < 2:
        _formats(gathered, k_format, v_format)
        if streams:
            gathered.count("cache_slots", rank, slots)
    if streams:
        gathered.count("streams", rank, streams)
    gathered.buffer(LoggedBuffer(gathered.next_kind, _size(total), int(cells), int(layers), _context(gathered)))


def _formats(gathered: Gathered, k_format: str, v_format: str) -> None:
    """The formats of K and V, where they differ V's as an option of its own."""
    k, v = canonical(k_format), canonical(v_format)
    gathered.option("kv_dtype", k, LINE)
    if v != k:
        gathered.option("v_dtype", v, LINE)


def _kv_of_old(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    _formats(gathered, match[2], match[3])
    gathered.buffer(LoggedBuffer("KV", _size(match[1]), 0, None, _context(gathered)))


def _recurrent(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    cells, layers, seqs, rollback, r, s = match.groups()
    if gathered.contexts < 2:
        gathered.count("n_seq_max", rank, seqs)
        if rollback:
            gathered.count("n_rs_seq", rank, rollback)
    for kind, text in (("R", r), ("S", s)):
        gathered.buffer(LoggedBuffer(kind, _size(text), int(cells), int(layers), _context(gathered)))


def _buffer_of_device(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A buffer on one device. Weights and caches come in parts; of a compute buffer the last line holds.

    Builds of 2024 print the weights' buffers without their name.
    """
    place, device, what, text = match.groups()
    drafting = gathered.contexts > 1
    if what == "model" or (what is None and place.endswith("load_tensors")):
        drafting = gathered.contexts > 0
        gathered.add("draft weights" if drafting else "weights", device, _size(text))
    elif what in ("compute", "output", None):
        key = what or "output"
        gathered.size(f"draft {key}" if drafting else key, device, _size(text))
    else:
        key = "RS buffers" if what == "RS" else f"{gathered.next_kind} buffers"
        gathered.add(f"draft {key}" if drafting else key, device, _size(text))


def _assigned(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """One more layer of the model's on a device."""
    if not gathered.contexts:
        known = gathered.counts.get("assigned", {}).get(match[1], 0)
        gathered.count("assigned", match[1], str(known + 1))


def _offloaded(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    if not gathered.contexts:
        gathered.count("offloaded", rank, match[1])
        gathered.count("all_layers", rank, match[2])


def _file(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    if "file" not in gathered.sizes:
        gathered.size("file", rank, _size(match[1], _UNITS[match[2]]))


def _device(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    _named(gathered, match[2])
    gathered.size("free_before", match[1], _size(match[3]))


def _card(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    _named(gathered, match[1])


def _named(gathered: Gathered, name: str) -> None:
    """One of the devices; the first is the plan's, and the first that is of another kind is told."""
    gathered.word("device", name)
    if gathered.words.get("device", (0, name))[1] != name:
        gathered.word("other_device", name)


def _context(gathered: Gathered) -> str:
    return str(max(1, gathered.contexts))


def settle(gathered: Gathered) -> None:
    """Options that follow from several lines: slots and whether they share, rollback states, devices and the split."""
    told = gathered.counts.get("n_seq_max") or gathered.counts.get("cache_slots", {})
    slots = min(told.values(), default=None)
    shared = min(gathered.counts.get("streams", {}).values(), default=0) == 1 < (slots or 0)
    unified = gathered.words["kv_unified"][1] == "true" if "kv_unified" in gathered.words else shared
    if slots is not None and not (unified and slots == AUTOMATIC_SLOTS):
        gathered.option("parallel", str(slots), LINE)
        if unified and slots > 1:
            gathered.option("kv_unified", True, LINE)
    elif slots is not None:
        gathered.options.pop("parallel", None)
        gathered.options.pop("kv_unified", None)
    rollback = min(gathered.counts.get("n_rs_seq", {}).values(), default=0)
    if rollback:
        gathered.option("speculative_tokens", str(rollback), LINE)
    _settle_flash(gathered)
    _settle_devices(gathered)


def _settle_flash(gathered: Gathered) -> None:
    """FlashAttention where no line speaks of it; V in a format of blocks is stored only with it."""
    said = gathered.words.get("version") or gathered.words.get("wording")
    v = gathered.options.get("v_dtype") or gathered.options.get("kv_dtype") or (0, "fp16")
    if said is not None and int(said[1].lstrip("b")) < _FLASH_BY_ITSELF and v[1] in ("fp16", "bf16", "fp32"):
        gathered.option("fa", False, CONFIG)


def _settle_devices(gathered: Gathered) -> None:
    """How many devices there are, and how many layers lie on them."""
    held = {
        device
        for key, by_device in gathered.sizes.items()
        if key.endswith("KV buffers") and not key.startswith("draft ")
        for device in by_device
        if not on_host(device)
    }
    assigned = {name: count for name, count in gathered.counts.get("assigned", {}).items() if not on_host(name)}
    devices = max(len(held), len(assigned))
    if devices > 1:
        gathered.option("pp", str(devices), LINE)
    offloaded = min(gathered.counts.get("offloaded", {}).values(), default=None)
    every = min(gathered.counts.get("all_layers", {}).values(), default=None)
    if offloaded is not None and offloaded != every:
        gathered.option("gpu_layers", str(offloaded), LINE)
    elif len(assigned) > 1:
        counts = [assigned[name] for name in sorted(assigned, key=_in_order)]
        counts[-1] -= sum(gathered.counts["assigned"].values()) - (every or 0) + 1 if every else 1
        gathered.option("pp_partition", ",".join(map(str, counts)), LINE)
    elif len(held) > 1 and every is not None:
        _settle_by_caches(gathered, held, every - 1)


def _settle_by_caches(gathered: Gathered, devices: set[str], layers: int) -> None:
    """The ``layers`` of each of the ``devices`` by its part of the one cache, where every part is one of whole layers.

    Example: of 40 layers that take 5,120 MiB those of a device with 1,536 MiB are twelve.
    """
    caches = [key for key in gathered.sizes if key.endswith(" buffers") and not key.startswith("draft ")]
    by_device = gathered.sizes.get("KV buffers", {})
    whole = sum(found.bytes for found in by_device.values())
    if caches != ["KV buffers"] or set(by_device) != devices or not layers or whole % layers:
        return
    each = whole // layers
    sizes = [by_device[name].bytes for name in sorted(devices, key=_in_order)]
    if not any(found % each for found in sizes):
        gathered.option("pp_partition", ",".join(str(found // each) for found in sizes), LINE)


def _in_order(device: str) -> tuple[int, str]:
    """Devices by their numbers: CUDA2 before CUDA10."""
    return len(device), device


_NUMBER = r"([0-9]{1,12}(?:[.,][0-9]{1,9})?)"
_PARAMETER = r"(\w{1,20}) {1,20}= (\w{1,20})"
_FORMATS = r"K \((\w{1,20})\): {1,9}[0-9.,]{1,20} MiB, V \((\w{1,20})\)"
_DEVICE_NAME = r"[^()]{1,100}(?:\([^()]{1,40}\))?[^()]{0,40}"
_SIZE_LINE = (
    rf"size = {{1,9}}{_NUMBER} MiB \( {{0,9}}([0-9]{{1,12}}) cells, {{1,9}}([0-9]{{1,6}}) layers, {{1,9}}"
    rf"([0-9]{{1,6}})(?:/ {{0,9}}([0-9]{{1,6}}))? seqs\), {_FORMATS}"
)
_RECURRENT_LINE = (
    rf"size = {{1,9}}[0-9.]{{1,20}} MiB \( {{0,9}}([0-9]{{1,12}}) cells, {{1,9}}([0-9]{{1,6}}) layers, {{1,9}}"
    rf"([0-9]{{1,6}}) seqs(?: {{1,9}}([0-9]{{1,6}}) rs_seq)?\), R \(\w{{1,20}}\): {{1,9}}{_NUMBER} MiB, "
    rf"S \(\w{{1,20}}\): {{1,9}}{_NUMBER} MiB"
)
LINES = (
    line("build: ", r"\bbuild: ([0-9]{1,6}) \(", _start),
    line("build_info: ", r"\bbuild_info: b([0-9]{1,6})", _start),
    line("build info", r"build info \|.{1,200}\bbuild=([0-9]{1,6}) ", _start),
    line("version: ", r"\bversion: ([0-9]{3,6}) \([0-9a-f]{6,12}\)", _start),
    line("llama-server", r"llama-server(?:\.exe)?['\"]? .*", _command),
    line("ollama", r"ollama(?:_llama_server)?(?:\.exe)? (?:runner )?--.*", _command),
    line("Namespace(", r"Namespace\(.{1,8000}contextsize=.{1,8000}", _kobold),
    line("KvSize:", r"KvSize:.{1,2000}|Parallel:.{0,500}KvSize:.{1,2000}", _request),
    line(
        "msg=",
        r"msg=\"(model weights|kv cache|compute graph)\" "
        rf"(?:backend=\w{{1,40}} )?(?:device|buffer|buffer_type)=(\w{{1,40}}) size=\"{_NUMBER} (KiB|MiB|GiB|B)\"",
        _ollama,
    ),
    line("file_type=", r"architecture=\w{1,40} file_type=(\w{1,20}) ", word("file_type")),
    line("architecture=", r"architecture=\w{1,40} .{0,40}\bname=\"([^\"]{1,100})\"", word("model_name")),
    line("MTP draft context", r"creating MTP draft context", _draft_begins),
    line("draft model", r"loading draft model", _draft_begins),
    line("assigned to device", r"layer {1,9}[0-9]{1,5} assigned to device (\w{1,20})", _assigned),
    line("layers to GPU", r"offloaded ([0-9]{1,5})/([0-9]{1,5}) layers to GPU", _offloaded),
    line("load_model: loading model", r"loading model '([^']{1,400})'", word("model", LINE)),
    line("llama_model_loader: loaded", r" tensors from (.{1,400}?) \(version GGUF", word("model", CONFIG)),
    line("Loading Text Model", r"Loading Text Model: (.{1,400})", word("model", CONFIG)),
    line("general.name", r"general\.name[^=]{0,100}= (.{1,200})", word("model_name")),
    line("print_info: ", r"print_info: file type {1,20}= (.{1,100})", word("file_type")),
    line("print_info: ", rf"print_info: file size {{1,20}}= {_NUMBER} (GiB|MiB)", _file),
    line("model size", rf"llm_load_print_meta: model size {{1,20}}= {_NUMBER} (GiB|MiB)", _file),
    line("model ftype", r"llm_load_print_meta: model ftype {1,20}= (.{1,100})", word("file_type")),
    line("Device ", r"\bDevice [0-9]{1,3}: (.{1,80}?), (?:compute capability|gfx)", _card),
    line("ggml_vulkan: ", r"ggml_vulkan: [0-9]{1,3} = ([^(|]{1,80}?) \(", _card),
    line("GPU name: ", r"ggml_metal\w{0,20}: GPU name: {1,9}(Apple [\w ]{1,20})", _card),
    line("inference compute", r"inference compute\".{1,300}?\b(?:name|description)=\"([^\"]{1,80})\"", _card),
    line(
        "using device",
        rf"using device (\w{{1,20}}) \(({_DEVICE_NAME})\).{{0,60}}- {_NUMBER} MiB free",
        _device,
    ),
    line("llama_new_context_with_model: ", "llama_new_context_with_model: ", _worded("b4400", 4)),
    line("llama_init_from_model: ", "llama_init_from_model: ", _worded("b4800", 3)),
    line("llama_kv_cache_unified", "llama_kv_cache_unified", _worded("b6000", 2)),
    line("n_ctx_per_seq", "llama_context: n_ctx_per_seq", _worded("b6500", 1)),
    line("constructing llama_context", "constructing llama_context", _context_begins),
    line("llama_context: ", rf"llama_context: {_PARAMETER}", _parameter),
    line("llama_init_from_model: ", rf"llama_init_from_model: {_PARAMETER}", _parameter),
    line("llama_new_context_with_model: ", rf"llama_new_context_with_model: {_PARAMETER}", _parameter),
    line("Flash Attention was auto", r"Flash Attention was auto, set to (enabled|disabled)", _flash),
    line("KV cache, size", r"creating {1,9}(.{0,30}?) {0,9}KV cache, size = {1,9}[0-9]{1,12} cells", _creating),
    line("full-size SWA cache", r"using full-size SWA cache", option("swa_full", True)),
    line(" cells, ", rf"llama_kv_cache\w{{0,30}}: {_SIZE_LINE}", _kv),
    line(" cells, ", rf"llama_(?:memory|kv_cache)_recurrent: {_RECURRENT_LINE}", _recurrent),
    line("KV self size", rf"KV self size {{1,9}}= {{1,9}}{_NUMBER} MiB, {_FORMATS}", _kv_of_old),
    line(
        " buffer size",
        r"(\w{1,60}): {1,20}([\w:.()-]{1,40}) {1,20}(?:(model|KV|RS|compute|output) )?buffer size {1,9}= {1,9}"
        rf"{_NUMBER} MiB",
        _buffer_of_device,
    ),
    line("out of memory", r"allocating [0-9.,]{1,20} MiB on device [0-9]{1,4}: .{1,60}out of memory", error),
    line("free memory target", r"cannot meet free memory target of .{1,100}", error),
    line("failed to allocate", r"failed to allocate .{1,100}", error),
    line("unable to allocate", r"unable to allocate .{1,100}", error),
    line("CUDA error", r"CUDA error: .{1,100}", error),
    line("Device memory allocation", r"Device memory allocation of size .{1,60} failed", error),
    line("OutOfDeviceMemory", r"\w{0,40}OutOfDeviceMemory", error),
    line("requires Flash Attention", r"quantized V cache was requested.{0,60}requires Flash Attention", error),
    line("model requires more system memory", r"model requires more system memory .{1,100}", error),
)
READER = LogReader(ENGINE, LINES, EXPECTED, ("KV buffer size",), rank_of, settle)
