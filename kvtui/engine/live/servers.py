"""The kinds of server: what each is asked, how it is recognised, and its replies as a Snapshot.

A server is recognised by the first of ``FIRST`` that it answers in an engine's own way. Then ``ONCE`` has what is asked
when it is attached to, and ``EACH`` what is asked in turn, one path every time, so that a snapshot a second costs the
server one request a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from json import JSONDecodeError, loads
from typing import Any, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.exposition import names_in, read_exposition
from kvtui.engine.live.names import METRICS, STARTED, TITLES, engine_of, wanted
from kvtui.engine.live.ranks import Published, published
from kvtui.engine.live.slots import read_slots, slots_pool
from kvtui.engine.live.snapshot import LoadedModel, ServedSlot, ServerPool, ServerRank, Snapshot

ABSENT = (404, 405, 501)
"""Statuses of what a server does not have, or was not told to have."""

MOST_MODELS = 256
MOST_TOKENS = 2**40
MOST_BYTES = 2**60

FIRST = (
    "/metrics",
    "/props",
    "/prometheus/metrics",
    "/api/ps",
    "/api/v1/models",
    "/api/extra/perf",
    "/v1/loads?include=core,memory,queues&format=json",
)
ONCE: Mapping[str, tuple[str, ...]] = {
    "vllm": ("/version", "/v1/models", "/kv_event_sources", "/server_info?config_format=json"),
    "sglang": ("/server_info",),
    "llama.cpp": ("/props", "/v1/models"),
    "tensorrt-llm": ("/version", "/v1/models"),
    "tgi": ("/info",),
    "ollama": ("/api/version",),
    "lmstudio": (),
    "koboldcpp": ("/api/extra/true_max_context_length", "/api/v1/model", "/api/v1/info/version"),
}
PORTS = {
    8000: "vLLM, TensorRT-LLM",
    8002: "Triton",
    8080: "llama.cpp, TGI",
    30000: "SGLang",
    3000: "TGI",
    11434: "Ollama",
    1234: "LM Studio",
    5001: "KoboldCpp",
}
"""Ports that servers take when they are not told any."""


class Reply(NamedTuple):
    """What a server answered to a ``path`` at a ``time``: the HTTP ``status`` and the ``body``."""

    path: str
    time: float
    status: int
    body: bytes

    @property
    def text(self) -> str:
        """The body as text, whatever bytes it has."""
        return self.body.decode("utf-8", "replace")

    @property
    def json(self) -> Any:
        """The body as a JSON value; None for what is none."""
        if self.status != 200:
            return None
        try:
            return loads(self.body)
        except (JSONDecodeError, UnicodeDecodeError, RecursionError, ValueError):
            return None

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body as a JSON object; empty for what is none."""
        found = self.json
        return found if isinstance(found, dict) else {}


class ServerKind(NamedTuple):
    """A kind of server, and the paths that are asked in turn (``each``)."""

    engine: str
    each: tuple[str, ...]


class ToldBesides(NamedTuple):
    """What the one who watches says of a server that it does not say itself."""

    unified: bool | None = None


NOTHING_BESIDES = ToldBesides()
Replies = Mapping[str, Reply]


def recognised(reply: Reply) -> ServerKind | None:
    """The kind of server that answers in this way; None where this reply alone does not tell."""
    if reply.status == 200 and reply.path.endswith("/metrics"):
        engine = next(filter(None, map(engine_of, names_in(reply.text))), "")
        if engine == "llama.cpp":
            return ServerKind(engine, ("/slots", "/metrics"))
        return ServerKind(engine, (reply.path,)) if engine else None
    fields = reply.fields
    match reply.path.partition("?")[0]:
        case "/props" if "total_slots" in fields or "default_generation_settings" in fields:
            return ServerKind("llama.cpp", ("/slots",))
        case "/api/ps" if isinstance(fields.get("models"), list):
            return ServerKind("ollama", ("/api/ps",))
        case "/api/v1/models" if isinstance(fields.get("models"), list):
            return ServerKind("lmstudio", ("/api/v1/models",))
        case "/api/extra/perf" if "total_gens" in fields or "last_process" in fields:
            return ServerKind("koboldcpp", ("/api/extra/perf",))
        case "/v1/loads" if isinstance(fields.get("loads"), list):
            return ServerKind("sglang", (reply.path,))
    return None


def read_server(
    kind: ServerKind, once: Replies, latest: Replies, time: float, address: str, told: ToldBesides = NOTHING_BESIDES
) -> Snapshot:
    """The server at ``address`` by its ``latest`` replies and those asked ``once``.

    A reply that is missing, or of another form than this kind of server gives, makes a snapshot that says so.
    """
    found = Snapshot(time, address, engine=kind.engine)
    replies = [reply for path in kind.each if (reply := latest.get(path))]
    bad = [reply for reply in replies if reply.status != 200]
    if bad and (len(bad) == len(replies) or any(reply.status not in ABSENT for reply in bad)):
        return refused(found, bad[0])
    try:
        return _READERS[kind.engine](found, kind, once, latest, told)
    except InputError as error:
        return replace(found, state="unreadable", said=str(error))


def refused(found: Snapshot, reply: Reply) -> Snapshot:
    """``found`` of a server whose ``reply`` is not what was asked for."""
    match reply.status:
        case 401 | 403:
            return replace(found, state="refused", said=f"{reply.status}: it wants a token (--token-file, KVTUI_TOKEN)")
        case 503:
            return replace(found, state="loading", said="503: it is not ready yet, or its engine is dead")
        case 404:
            return replace(found, state="unreadable", said=f"404: it has no {plain(reply.path, 80)}")
    return replace(found, state="refused", said=f"{reply.status} for {plain(reply.path, 80)}")


def _by_metrics(found: Snapshot, text: str) -> Snapshot:
    """``found`` with all that the metrics in ``text`` tell. Raises InputError where none of the engine's are there."""
    told = read_exposition(text, wanted(found.engine))
    if not any(metric.name != STARTED for metric in told.metrics):
        raise InputError(f"none of the metrics of {TITLES[found.engine]} are in what it publishes")
    notes = (f"{told.refused:,} lines of the metrics could not be read",) if told.refused else ()
    return replace(by_published(found, published(found.engine, told.metrics)), notes=notes)


def by_published(found: Snapshot, server: Published) -> Snapshot:
    """``found`` with what its metrics tell of the server."""
    return replace(
        found,
        state="asleep" if server.asleep else "up",
        said=server.asleep,
        model=server.model,
        ranks=server.ranks,
        context=server.context,
        most_running=server.most_running,
        started=server.started,
        config=server.config,
    )


def _vllm(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    found = _by_metrics(found, latest[kind.each[0]].text)
    info = _fields(once, "/server_info?config_format=json").get("vllm_config")
    scheduler, parallel = _inner(info, "scheduler_config"), _inner(info, "parallel_config")
    settings = {
        "tp_size": parallel.get("tensor_parallel_size"),
        "pp_size": parallel.get("pipeline_parallel_size"),
        "enforce_eager": _inner(info, "model_config").get("enforce_eager"),
    }
    told_besides = {key: plain(str(value), 40) for key, value in settings.items() if value is not None}
    return replace(
        found,
        config={**found.config, **told_besides},
        release=_word(_fields(once, "/version"), "version"),
        context=_most_context(once),
        most_running=_count(scheduler, "max_num_seqs"),
        step_tokens=_count(scheduler, "max_num_batched_tokens"),
        model=_served(once) or found.model,
    )


def _sglang(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    info = _fields(once, "/server_info")
    reply = latest[kind.each[0]]
    found = _by_metrics(found, reply.text) if reply.path == "/metrics" else _by_loads(found, reply)
    states = info.get("internal_states")
    state = states[0] if isinstance(states, list) and states and isinstance(states[0], dict) else {}
    settings = ("mem_fraction_static", "page_size", "kv_cache_dtype", "tp_size", "dp_size", "chunked_prefill_size")
    return replace(
        found,
        release=_word(info, "version"),
        model=found.model or _word(info, "served_model_name") or _word(info, "model_path"),
        context=_count(info, "context_length") or found.context,
        most_running=_count(state, "effective_max_running_requests_per_dp")
        or _count(info, "max_running_requests")
        or found.most_running,
        config={key: plain(str(info[key]), 120) for key in settings if info.get(key) is not None},
    )


def _by_loads(found: Snapshot, reply: Reply) -> Snapshot:
    """SGLang's ``/v1/loads``, for a server without metrics."""
    listed = reply.fields.get("loads")
    if not isinstance(listed, list):
        raise InputError("/v1/loads has no list of loads")
    ranks = []
    for number, load in enumerate(one for one in listed[:1024] if isinstance(one, dict)):
        size, used = _count(load, "max_total_num_tokens"), _count(load, "num_used_tokens")
        ranks.append(
            ServerRank(
                _count(load, "dp_rank") or number,
                ServerPool("token", size, used, tokens=size),
                running=_count(load, "num_running_reqs"),
                waiting=_count(load, "num_waiting_reqs"),
                paused=_count(_inner(load, "queues"), "retracted"),
            )
        )
    most = [count for one in listed if isinstance(one, dict) and (count := _count(one, "max_running_requests"))]
    return replace(found, ranks=tuple(ranks), most_running=max(most, default=None))


def _llamacpp(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    props = _fields(once, "/props")
    metrics = latest.get("/metrics")
    if metrics is not None and metrics.status == 200:
        found = replace(_by_metrics(found, metrics.text), counted=metrics.time)
    rank = found.ranks[0] if found.ranks else ServerRank()
    reply = latest.get("/slots")
    notes = found.notes
    if reply is None or reply.status != 200:
        slots: tuple[ServedSlot, ...] | None = ()
        notes += ("no slots: the server was started with --no-slots, and does not tell what its cache holds",)
    else:
        slots = read_slots(reply.json)
    if slots is None:
        raise InputError("/slots is not a list of slots")
    if slots:
        pool = slots_pool(slots, told.unified)
        running = sum(slot.phase != "idle" for slot in slots)
        rank = replace(rank, pool=pool, slots=slots, running=running)
        if pool.size is None:
            least, most = max(slot.limit for slot in slots), sum(slot.limit for slot in slots)
            notes += (f"the pool is of {least:,} tokens if it is unified, of {most:,} if not: --kv-unified says which",)
    if metrics is None or metrics.status != 200:
        notes += ("no metrics: the server was started without --metrics",)
    context = _count(_inner(props, "default_generation_settings"), "n_ctx") or (slots[0].limit if slots else None)
    path = _word(props, "model_path").replace("\\", "/").rpartition("/")[2]
    return replace(
        found,
        state="asleep" if props.get("is_sleeping") is True and not slots else found.state,
        ranks=(rank,),
        release=_word(props, "build_info"),
        model=path or _word(props, "model_alias") or _served(once),
        context=context,
        most_running=_count(props, "total_slots") or (len(slots) if slots else None),
        config={"model_ftype": _word(props, "model_ftype")} if _word(props, "model_ftype") else {},
        notes=notes,
    )


def _tensorrt(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    found = _by_metrics(found, latest[kind.each[0]].text)
    version = _word(_fields(once, "/version"), "version")
    return replace(found, release=version, model=_served(once) or found.model)


def _tgi(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    """TGI reserves for each request the most it may take: ``max_batch_total_tokens`` bounds what all may reserve."""
    found = _by_metrics(found, latest[kind.each[0]].text)
    info = _fields(once, "/info")
    size = _count(info, "max_batch_total_tokens")
    ranks = tuple(replace(rank, pool=rank.pool._replace(size=size, tokens=size, block_size=1)) for rank in found.ranks)
    return replace(
        found,
        ranks=ranks,
        release=_word(info, "version"),
        model=_word(info, "model_id"),
        context=_count(info, "max_total_tokens"),
        notes=(*found.notes, "used is what requests have reserved, the most that each may take"),
    )


ENVELOPE = "{} does not tell how full its cache is: what is shown is the window of what is loaded"


def _ollama(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    models = [
        LoadedModel(
            _word(one, "name") or _word(one, "model"),
            _count(one, "context_length"),
            bytes=_count(one, "size", MOST_BYTES),
            on_device=_count(one, "size_vram", MOST_BYTES),
        )
        for one in _objects(latest[kind.each[0]].fields.get("models"), "/api/ps")
    ]
    return _envelope(found, tuple(models), _word(_fields(once, "/api/version"), "version"))


def _lmstudio(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    models = []
    for one in _objects(latest[kind.each[0]].fields.get("models"), "/api/v1/models"):
        for instance in _objects(one.get("loaded_instances") or [], "loaded_instances"):
            context = _count(_inner(instance, "config"), "context_length")
            models.append(LoadedModel(_word(one, "key"), context, bytes=_count(one, "size_bytes", MOST_BYTES)))
    return _envelope(found, tuple(models), "")


def _koboldcpp(found: Snapshot, kind: ServerKind, once: Replies, latest: Replies, told: ToldBesides) -> Snapshot:
    perf = latest[kind.each[0]].fields
    if not perf:
        raise InputError("/api/extra/perf is not a JSON object")
    context = _count(_fields(once, "/api/extra/true_max_context_length"), "value")
    model = _word(_fields(once, "/api/v1/model"), "result")
    busy = perf.get("idle") in (0, False)
    rank = ServerRank(running=int(busy), waiting=_count(perf, "queue"))
    found = _envelope(found, (LoadedModel(model, context),), _word(_fields(once, "/api/v1/info/version"), "result"))
    return replace(found, ranks=(rank,))


def _envelope(found: Snapshot, models: tuple[LoadedModel, ...], release: str) -> Snapshot:
    first = models[0] if models else None
    return replace(
        found,
        loaded=models,
        release=release,
        model=first.name if first else "",
        context=first.context if first else None,
        notes=(ENVELOPE.format(TITLES[found.engine]),),
    )


def _objects(listed: Any, where: str) -> Iterator[Mapping[str, Any]]:
    """The objects in a list of a reply. Raises InputError for what is no list."""
    if not isinstance(listed, list):
        raise InputError(f"{where} is not a list")
    return (one for one in listed[:MOST_MODELS] if isinstance(one, dict))


def _fields(once: Replies, path: str) -> Mapping[str, Any]:
    reply = once.get(path)
    return {} if reply is None else reply.fields


def _inner(values: Any, key: str) -> Mapping[str, Any]:
    found = values.get(key) if isinstance(values, dict) else None
    return found if isinstance(found, dict) else {}


def _count(values: Mapping[str, Any], key: str, most: int = MOST_TOKENS) -> int | None:
    value = values.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most else None


def _word(values: Mapping[str, Any], key: str) -> str:
    value = values.get(key)
    return plain(value) if isinstance(value, str) else ""


def _models(once: Replies) -> list[Mapping[str, Any]]:
    listed = _fields(once, "/v1/models").get("data")
    return [one for one in listed[:MOST_MODELS] if isinstance(one, dict)] if isinstance(listed, list) else []


def _served(once: Replies) -> str:
    """The model's path or repository where ``/v1/models`` has it, else the name it is served under."""
    models = _models(once)
    return (_word(models[0], "root") or _word(models[0], "id")) if models else ""


def _most_context(once: Replies) -> int | None:
    return max((count for one in _models(once) if (count := _count(one, "max_model_len"))), default=None)


_ReadsServer = Callable[[Snapshot, ServerKind, Replies, Replies, ToldBesides], Snapshot]
_READERS: Mapping[str, _ReadsServer] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "llama.cpp": _llamacpp,
    "tensorrt-llm": _tensorrt,
    "tgi": _tgi,
    "ollama": _ollama,
    "lmstudio": _lmstudio,
    "koboldcpp": _koboldcpp,
}
assert set(METRICS) <= set(_READERS)
