"""llama.cpp's boot log, of the builds from 2024 to b11195: what its lines say.

The lines are those of ``llama-kv-cache.cpp`` (and ``llama-kv-cache-unified.cpp`` before b6200), its windowed twin,
``llama-memory-recurrent.cpp``, ``llama-context.cpp``, ``llama-model.cpp`` and the server. Several contexts may be
made in one start: the model's own is the first, those of draft models follow.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.bootlog.observed import LoggedBuffer, size
from kvtui.engine.bootlog.patterns import (
    COMMAND,
    CONFIG,
    LINE,
    NUMBER,
    Gathered,
    LogReader,
    error,
    flags,
    line,
    option,
    sizes,
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
    "-ctk": "kv_dtype",
    "--cache-type-k": "kv_dtype",
}


def rank_of(text: str) -> str:
    """llama.cpp is one process."""
    return ""


def on_host(device: str) -> bool:
    """Whether a buffer's ``device`` is main memory."""
    return any(name in device for name in HOST)


def _start(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.restart()
    gathered.word("version", f"b{match[1]}")


def _command(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    for flag, value in flags(match[0]):
        key = _FLAGS.get(flag)
        if key == "model":
            gathered.word("model", value, COMMAND)
        elif key == "kv_dtype":
            gathered.option(key, value, COMMAND)
        elif key and value != "0":
            gathered.whole_option(key, value, COMMAND)
        elif flag == "--swa-full":
            gathered.option("swa_full", True, COMMAND)


def _context_begins(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.contexts += 1
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
    total, cells, layers, streams, k_format, v_format = match.groups()
    if layers == "0":
        return
    if gathered.contexts < 2:
        gathered.option("kv_dtype", canonical(k_format), LINE)
        gathered.word("v_dtype", canonical(v_format))
    if streams:
        gathered.count("streams", rank, streams)
    gathered.buffer(LoggedBuffer(gathered.next_kind, size(total, MIB), int(cells), int(layers), _context(gathered)))


def _kv_of_old(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.option("kv_dtype", canonical(match[2]), LINE)
    gathered.word("v_dtype", canonical(match[3]))
    gathered.buffer(LoggedBuffer("KV", size(match[1], MIB), 0, None, _context(gathered)))


def _recurrent(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    cells, layers, seqs, rollback, r, s = match.groups()
    if gathered.contexts < 2:
        gathered.count("n_seq_max", rank, seqs)
        if rollback:
            gathered.count("n_rs_seq", rank, rollback)
    for kind, text in (("R", r), ("S", s)):
        gathered.buffer(LoggedBuffer(kind, size(text, MIB), int(cells), int(layers), _context(gathered)))


def _buffer_of_device(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    device, what, text = match.groups()
    match what:
        case "model":
            key = "weights"
        case "compute":
            key = "compute"
        case "output" | "":
            key = "output"
        case "RS":
            key = "RS buffers"
        case _:
            key = f"{gathered.next_kind} buffers"
    drafting = gathered.contexts > (0 if what == "model" else 1)
    gathered.add(f"draft {key}" if drafting else key, device, size(text, MIB))


def _device(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.word("device", match[2])
    gathered.size("free_before", match[1], size(match[3], MIB))


def _context(gathered: Gathered) -> str:
    return str(max(1, gathered.contexts))


def settle(gathered: Gathered) -> None:
    """Options that follow from several lines: slots, rollback states and devices."""
    slots = min(gathered.counts.get("n_seq_max", {}).values(), default=None)
    unified = gathered.words.get("kv_unified", (0, ""))[1] == "true"
    if slots is not None and not (unified and slots == AUTOMATIC_SLOTS):
        gathered.option("parallel", str(slots), LINE)
    elif slots is not None:
        gathered.options.pop("parallel", None)
    rollback = min(gathered.counts.get("n_rs_seq", {}).values(), default=0)
    if rollback:
        gathered.option("speculative_tokens", str(rollback), LINE)
    devices = {
        device
        for key, by_device in gathered.sizes.items()
        if key.endswith("KV buffers") and not key.startswith("draft ")
        for device in by_device
        if not on_host(device)
    }
    if len(devices) > 1:
        gathered.option("pp", str(len(devices)), LINE)


_PARAMETER = r"(\w{1,20}) {1,20}= (\w{1,20})"
_FORMATS = r"K \((\w{1,20})\): {1,9}[0-9.]{1,20} MiB, V \((\w{1,20})\)"
_DEVICE_NAME = r"[^()]{1,100}(?:\([^()]{1,40}\))?[^()]{0,40}"
_SIZE_LINE = (
    rf"size = {{1,9}}{NUMBER} MiB \( {{0,9}}([0-9]{{1,12}}) cells, {{1,9}}([0-9]{{1,6}}) layers, {{1,9}}"
    rf"[0-9]{{1,6}}(?:/ {{0,9}}([0-9]{{1,6}}))? seqs\), {_FORMATS}"
)
_RECURRENT_LINE = (
    rf"size = {{1,9}}[0-9.]{{1,20}} MiB \( {{0,9}}([0-9]{{1,12}}) cells, {{1,9}}([0-9]{{1,6}}) layers, {{1,9}}"
    rf"([0-9]{{1,6}}) seqs(?: {{1,9}}([0-9]{{1,6}}) rs_seq)?\), R \(\w{{1,20}}\): {{1,9}}{NUMBER} MiB, "
    rf"S \(\w{{1,20}}\): {{1,9}}{NUMBER} MiB"
)
LINES = (
    line("build: ", r"\bbuild: ([0-9]{1,6}) \(", _start),
    line("build_info: ", r"\bbuild_info: b([0-9]{1,6})", _start),
    line("version: ", r"\bversion: ([0-9]{3,6}) \([0-9a-f]{6,12}\)", _start),
    line("llama-server", r"llama-server(?:\.exe)?['\"]? .*", _command),
    line("load_model: loading model", r"loading model '([^']{1,400})'", word("model", LINE)),
    line("llama_model_loader: loaded", r" tensors from (.{1,400}?) \(version GGUF", word("model", CONFIG)),
    line("general.name", r"general\.name[^=]{0,100}= (.{1,200})", word("model_name")),
    line("print_info: ", r"print_info: file type {1,20}= (.{1,100})", word("file_type")),
    line("print_info: ", rf"print_info: file size {{1,20}}= {NUMBER} GiB", sizes(GIB, "file")),
    line("print_info: ", rf"print_info: file size {{1,20}}= {NUMBER} MiB", sizes(MIB, "file")),
    line(
        "using device",
        rf"using device (\w{{1,20}}) \(({_DEVICE_NAME})\).{{0,60}}- {NUMBER} MiB free",
        _device,
    ),
    line("constructing llama_context", "constructing llama_context", _context_begins),
    line("llama_context: ", rf"llama_context: {_PARAMETER}", _parameter),
    line("llama_init_from_model: ", rf"llama_init_from_model: {_PARAMETER}", _parameter),
    line("llama_new_context_with_model: ", rf"llama_new_context_with_model: {_PARAMETER}", _parameter),
    line("Flash Attention was auto", r"Flash Attention was auto, set to (enabled|disabled)", _flash),
    line("KV cache, size", r"creating {1,9}(.{0,30}?) {0,9}KV cache, size = {1,9}[0-9]{1,12} cells", _creating),
    line("full-size SWA cache", r"using full-size SWA cache", option("swa_full", True)),
    line(" cells, ", rf"llama_kv_cache\w{{0,30}}: {_SIZE_LINE}", _kv),
    line(" cells, ", rf"llama_(?:memory|kv_cache)_recurrent: {_RECURRENT_LINE}", _recurrent),
    line("KV self size", rf"KV self size {{1,9}}= {{1,9}}{NUMBER} MiB, {_FORMATS}", _kv_of_old),
    line(
        " buffer size",
        rf": {{1,20}}([\w:.()-]{{1,40}}) {{1,20}}(?:(model|KV|RS|compute|output) )?buffer size {{1,9}}= {{1,9}}"
        rf"{NUMBER} MiB",
        _buffer_of_device,
    ),
    line("out of memory", r"allocating [0-9.]{1,20} MiB on device [0-9]{1,4}: .{1,60}out of memory", error),
    line("free memory target", r"cannot meet free memory target of .{1,100}", error),
    line("failed to allocate", r"failed to allocate .{1,100}", error),
)
READER = LogReader(ENGINE, LINES, EXPECTED, ("KV buffer size",), rank_of, settle)
