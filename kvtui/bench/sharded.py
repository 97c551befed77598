"""Measuring sharded decode: what each device holds and sends, and how long a step and its sums take, beside the plan.

All processes of a run call the same programs equally often, since each waits for the others in every sum. What a step
would take without a word between the ranks is timed with a program that has no exchange in it, and the sums of a step
with one that has nothing else; both are timed in turn with the step itself. The rate of the links is that of one large
sum, by what a ring sends.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from kvtui.bench import compiled, probe
from kvtui.bench.child import Emit
from kvtui.bench.compiled import Program, ProgramSource, build
from kvtui.bench.measure import described, is_out_of_memory
from kvtui.bench.nn import sharded, transformer
from kvtui.bench.nn.cache import DTYPES
from kvtui.bench.nn.transformer import Weights
from kvtui.cases.case import Case
from kvtui.cases.sharding import ShardedCase
from kvtui.cases.statistics import median, summary
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MIB
from kvtui.engine.basis.untrusted import plain

SEED = 0
JOIN_SECONDS = 60
HEARTBEAT_SECONDS = 30
COMPARED_TOKENS = 8
WARM_UP = 3
LINK_BYTES, LINK_TRIES = 4 * MIB, 5
NAME_BYTES = 64
HOST_COUNT = "xla_force_host_platform_device_count"

_SUM = re.compile(r"= (\w+)\[([\d,]*)\]\S* all-reduce(?:-start)?\(")
_ELEMENT = {"f32": 4, "bf16": 2, "f16": 2}


class PlacedCase(NamedTuple):
    """A case on its devices: the mesh, the weights there and as a whole, the prompt, and the compiled programs."""

    one: ShardedCase
    where: Mesh
    weights: Weights
    whole: Weights
    prompt: Array
    programs: Mapping[str, Program]
    compile_s: float


def measure_sharded(job: Mapping[str, Any], emit: Emit) -> None:
    """Measure each of the ``cases`` of ``job``: a "row" event as each is done.

    Cases that nobody ``chose`` are left out where they need more devices than there are. Raises InputError where one
    that was chosen does, and where the other processes do not come.
    """
    cases = [ShardedCase.from_json(one) for one in job["cases"]]
    processes, most = int(job["processes"]), max(one.tp for one in cases)
    _join(job, processes, most)
    devices = _devices(job["device"])
    emit({"event": "hello", "host": {**probe.host(), "processes": processes, "hosts": _hosts()}})
    there = processes * min(len(_of(devices, process)) for process in range(processes))
    wanted = [one for one in cases if one.tp <= there]
    if not wanted or (job["chosen"] and len(wanted) < len(cases)):
        least = most if job["chosen"] else min(one.tp for one in cases)
        raise InputError(f"--tp: {least} devices are needed, {there} here; --device cpu has one processor play them")
    links: dict[int, float] = {}
    for one in wanted:
        emit({"event": "stage", "label": one.label, "tp": one.tp})
        used = _used(devices, processes, one.tp)
        try:
            row = _measured(one, used, int(job["calls"]), links)
        except Exception as error:
            if processes > 1:
                raise
            row = {"status": "oom" if is_out_of_memory(error) else "error", "message": described(error)}
        emit({"event": "row", "row": {**_about(one, processes, used), **row}})
    if processes > 1:  # all leave together: one that lost the first process would be ended by JAX
        jax.distributed.shutdown()  # type: ignore[no-untyped-call]


def _join(job: Mapping[str, Any], processes: int, most: int) -> None:
    """Make this process one of several where it is, with its share of ``most`` processor devices if it needs them."""
    if job["device"] == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
        jax.config.update("jax_platforms", "cpu")  # type: ignore[no-untyped-call]
    if HOST_COUNT not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", -(-most // processes))  # type: ignore[no-untyped-call]
    if processes > 1:
        try:
            jax.distributed.initialize(
                job["coordinator"],
                processes,
                int(job["process"]),
                initialization_timeout=JOIN_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                shutdown_timeout_seconds=HEARTBEAT_SECONDS,
            )
        except RuntimeError as error:
            raise InputError(f"--coordinator: {described(error)}") from None
    compiled.enable_cache()


def _devices(platform: str | None) -> list[jax.Device]:
    """All devices of a ``platform`` (None: JAX's own choice), process by process. Raises InputError without any."""
    try:
        found = jax.devices(platform)
    except RuntimeError:
        raise InputError(f"device '{plain(str(platform))}' is not there") from None
    return sorted(found, key=lambda device: (device.process_index, device.id))


def _used(devices: Sequence[jax.Device], processes: int, tp: int) -> list[jax.Device]:
    """The first devices of each process, as many in all as there are ranks."""
    share = tp // processes
    return [one for process in range(processes) for one in _of(devices, process)[:share]]


def _of(devices: Sequence[jax.Device], process: int) -> list[jax.Device]:
    return [device for device in devices if device.process_index == process]


def _hosts() -> list[str]:
    """The names of all processes' hosts."""
    from jax.experimental import multihost_utils

    own = np.zeros(NAME_BYTES, np.uint8)
    name = str(probe.host()["host"]).encode()[:NAME_BYTES]
    own[: len(name)] = np.frombuffer(name, np.uint8)
    every = np.asarray(multihost_utils.process_allgather(own)).reshape(-1, NAME_BYTES)
    return [bytes(one).rstrip(b"\0").decode(errors="replace") for one in every]


def _about(one: ShardedCase, processes: int, used: Sequence[jax.Device]) -> dict[str, Any]:
    shape, predicted = one.case.shape, one.predicted()
    return {
        "label": one.label,
        "tp": one.tp,
        "processes": processes,
        "device": used[0].device_kind,
        "platform": used[0].platform,
        "batch": one.case.batch,
        "tokens": one.case.prompt,
        "kv_heads": None if shape.latent else shape.kv_heads,
        "kv_heads_per_device": None if shape.latent else one.local.kv_heads,
        "copies_predicted": one.tp // one.parts,
        "kv_predicted_bytes": predicted.kv,
        "weights_predicted_bytes": predicted.weights,
        "sent_predicted_bytes": predicted.sent,
    }


def _measured(one: ShardedCase, devices: Sequence[jax.Device], calls: int, links: dict[int, float]) -> dict[str, Any]:
    placed = _placed(one, devices)
    cache = sharded.empty_cache(one, placed.where)
    token, position, cache = placed.programs["prefill"].run(placed.weights, placed.prompt, cache)
    opening = token, position
    said, (token, position, cache) = _spoken(placed, token, position, cache)
    held = _held(cache)
    copies, alike = _copies(cache)
    ms: dict[str, list[float]] = {"step": [], "alone": [], "sums": []}
    x = _activations(one, placed.where)
    for call in range(WARM_UP + calls):
        if call % (one.case.cache_length - one.case.prompt) == 0:
            token, position = opening
        took, (token, position, cache) = _timed(placed.programs["step"], placed.weights, token, position, cache)
        alone, (_, _, cache) = _timed(placed.programs["alone"], placed.weights, *opening, cache)
        sums, _ = _timed(placed.programs["sums"], x)
        if call >= WARM_UP:
            for name, value in (("step", took), ("alone", alone), ("sums", sums)):
                ms[name].append(value)
    if one.tp not in links:
        links[one.tp] = _link_gbs(one, placed.where)
    band = one.collective_ms(links[one.tp])
    step = placed.programs["step"]
    compiled_step: Any = step.run
    payloads = sums_of(compiled_step.as_text())
    found = {name: summary(values) for name, values in ms.items()}
    return {
        "status": "ok",
        "message": None,
        "compile_s": placed.compile_s,
        "tokens_equal": said == _spoken_alone(placed),
        "copies": copies,
        "copies_equal": alike,
        "kv_measured_bytes": max(held.values()),
        "kv_measured_least_bytes": min(held.values()),
        "weights_measured_bytes": max(_held(placed.weights).values()),
        "donated": step.alias_bytes >= max(held.values()),
        "temp_bytes": step.temp_bytes,
        "sums_predicted": one.all_reduces,
        "sums": len(payloads),
        "sent_bytes": one.ring_bytes(sum(payloads)),
        **{f"{name}_ms_{figure}": getattr(found[name], figure) for name in ms for figure in ("p20", "p50", "p80", "n")},
        "exchange_ms": (found["step"].p50 or 0.0) - (found["alone"].p50 or 0.0),
        "link_gbs": links[one.tp],
        "sums_predicted_ms_low": band.low,
        "sums_predicted_ms_high": band.high,
    }


def sums_of(program: str) -> list[int]:
    """Bytes of each sum over ranks in the text of an optimised ``program``."""
    return [
        _ELEMENT.get(kind, 4) * prod(int(size) for size in sizes.split(",") if size)
        for kind, sizes in _SUM.findall(program)
    ]


def _placed(one: ShardedCase, devices: Sequence[jax.Device]) -> PlacedCase:
    case, where = one.case, sharded.mesh(one, devices)
    whole = transformer.init_weights(case.shape, SEED)
    weights = sharded.place(one, where, whole)
    tokens = np.random.default_rng(SEED).integers(0, case.shape.vocab, (case.batch, case.prompt), dtype=np.int32)
    prompt = sharded.copied(where, tokens)
    newest, at = sharded.copied(where, tokens[:, -1]), sharded.copied(where, np.int32(case.prompt))
    cache = sharded.empty_cache(one, where)
    decoding = _shapes((weights, newest, at, cache))
    sources = {
        "prefill": ProgramSource(sharded.prefill(one, where, whole), _shapes((weights, prompt, cache)), (2,)),
        "step": ProgramSource(sharded.step(one, where, whole), decoding, (3,)),
        "alone": ProgramSource(sharded.step(one, where, whole, sharded.ALONE), decoding, (3,)),
        "sums": ProgramSource(sharded.sums(one, where, one.all_reduces), _shapes((_activations(one, where),))),
    }
    built = build(sources)
    return PlacedCase(one, where, weights, whole, prompt, built.programs, built.lower_s + built.compile_s)


def _shapes(arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    found: tuple[Any, ...] = jax.tree.map(
        lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype, sharding=array.sharding),  # type: ignore[no-untyped-call]
        arguments,
    )
    return found


def _activations(one: ShardedCase, where: Mesh) -> Array:
    """What a step sums each time, on every rank."""
    case = one.case
    return sharded.by_rank(one, where, np.ones((case.batch, case.shape.dim), DTYPES[case.shape.dtype]))


def _timed(program: Program, *arguments: Any) -> tuple[float, Any]:
    started = time.perf_counter_ns()
    outputs = jax.block_until_ready(program.run(*arguments))  # type: ignore[no-untyped-call]
    return (time.perf_counter_ns() - started) / 1e6, outputs


def _spoken(placed: PlacedCase, token: Array, position: Array, cache: Any) -> tuple[list[list[int]], Any]:
    """The tokens that the ranks generate together."""
    said = []
    for _ in range(COMPARED_TOKENS):
        token, position, cache = placed.programs["step"].run(placed.weights, token, position, cache)
        said.append(np.asarray(token.addressable_data(0)).tolist())
    return said, (token, position, cache)


def _spoken_alone(placed: PlacedCase) -> list[list[int]]:
    """The tokens that the same model generates on one device."""
    case: Case = placed.one.case
    cache = transformer.init_cache(case.shape, case.batch, case.cache_length, case.cache)
    prompt = jnp.asarray(np.asarray(placed.prompt.addressable_data(0)))
    fill, step = (jax.jit(one, static_argnums=0) for one in (transformer.prefill, transformer.decode))
    logits, cache = fill(case.shape, placed.whole, prompt, cache)
    said = []
    for ahead in range(COMPARED_TOKENS):
        token = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        logits, cache = step(case.shape, placed.whole, token, jnp.int32(case.prompt + ahead), cache)
        said.append(np.asarray(jnp.argmax(logits, axis=-1)).tolist())
    return said


def _held(arrays: Any) -> dict[int, int]:
    """Bytes of ``arrays`` on each of this process's devices."""
    found: dict[int, int] = {}
    for leaf in jax.tree.leaves(arrays):
        for shard in leaf.addressable_shards:
            found[shard.device.id] = found.get(shard.device.id, 0) + shard.data.nbytes
    return found


def _copies(cache: Any) -> tuple[int, bool]:
    """Devices that hold the same part of the cache, by its sharding, and whether those here do, byte for byte."""
    copies, alike = 0, True
    for leaf in jax.tree.leaves(cache):
        places = [str(index) for index in leaf.sharding.devices_indices_map(leaf.shape).values()]
        copies = max(copies, *(places.count(one) for one in set(places)))
        first: dict[str, np.ndarray] = {}
        for shard in leaf.addressable_shards:
            here = np.asarray(shard.data)
            alike = alike and np.array_equal(first.setdefault(str(shard.index), here), here)
    return copies, alike


def _link_gbs(one: ShardedCase, where: Mesh) -> float:
    """What a rank sends per second, in GB, while all sum a large array in a ring."""
    x = sharded.by_rank(one, where, np.ones(LINK_BYTES // 4, np.float32))
    program = build({"sum": ProgramSource(sharded.sums(one, where, 1), _shapes((x,)))}).programs["sum"]
    times = [_timed(program, x)[0] for _ in range(1 + LINK_TRIES)]
    return one.ring_bytes(LINK_BYTES) / median(times[1:]) / 1e6
