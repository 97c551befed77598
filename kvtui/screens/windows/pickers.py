"""The pickers of models, devices and formats, each with the columns that matter and whether it would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kvtui.engine.advice.offered import kv_obstacle, weights_obstacle
from kvtui.engine.advice.risk import Risk, cache_risk, weights_risk
from kvtui.engine.basis.errors import InputError, SeveralNames
from kvtui.engine.basis.units import GIB, format_bytes, format_count, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.device.words import search_words
from kvtui.engine.model.catalogue import all_models, find_model, get_model
from kvtui.engine.model.formats import KV_FORMATS, Format, canonical, kv_format
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.sources.load import load_model
from kvtui.engine.sources.names import named_model
from kvtui.report.listings import format_sizes
from kvtui.screens.windows.picker import Entry, Fit, Picker, PickerColumn, Source
from kvtui.state.session import Session

ABSENT = "–"
MODEL_COLUMNS = (
    PickerColumn("model", 30, right=False),
    PickerColumn("KV B/token", 10),
    PickerColumn("window, state", 13, always=False),
    PickerColumn("context", 7),
    PickerColumn("weights", 7),
    PickerColumn("active", 7, always=False),
    PickerColumn("fits?", 10),
)
WEIGHT_COLUMNS = (
    PickerColumn("weights", 18, right=False),
    PickerColumn("files", 12),
    PickerColumn("at least", 12, always=False),
    PickerColumn("bits", 5),
    PickerColumn("risk", 13, right=False),
    PickerColumn("fits?", 10),
)
KV_COLUMNS = (
    PickerColumn("K and V", 19, right=False),
    PickerColumn("a token", 10),
    PickerColumn("in all", 11),
    PickerColumn("of now", 6, always=False),
    PickerColumn("risk", 13, right=False),
    PickerColumn("fits?", 10),
)
DEVICE_COLUMNS = (
    PickerColumn("device", 26, right=False),
    PickerColumn("usable", 10),
    PickerColumn("GB/s", 7),
    PickerColumn("bf16 TFLOP/s", 12, always=False),
    PickerColumn("W", 6, always=False),
    PickerColumn("$/h", 11),
    PickerColumn("fits?", 10),
)


class WeightPicker(Picker):
    """Chooses how the model's weights are stored, by the size of their files; K and V stay as they are."""

    def __init__(self, session: Session) -> None:
        scenario = session.scenario
        super().__init__(
            Source(
                title=f"weights of {plain(scenario.model.name, 60)}",
                placeholder="search 'q4', 'fp8', 'awq', 'low'",
                columns=WEIGHT_COLUMNS,
                current=scenario.weight_dtype,
                entries=lambda: _weights(scenario),
                fit=lambda name: _format_fit(
                    scenario, weights_obstacle(scenario, name), weight_dtype=name, skip_weights=False
                ),
                take=lambda name: session.change(weight_dtype=name, skip_weights=False),
            )
        )


class KVPicker(Picker):
    """Chooses what K and V are stored in, by what that takes; the weights stay as they are."""

    def __init__(self, session: Session) -> None:
        scenario = session.scenario
        super().__init__(
            Source(
                title=f"K and V of {plain(scenario.model.name, 60)}",
                placeholder="search 'fp8', 'q8', 'low'; q8_0/q4_0 for K and V apart",
                columns=KV_COLUMNS,
                current=canonical(scenario.kv_dtype),
                entries=lambda: _caches(scenario),
                fit=lambda name: _format_fit(scenario, kv_obstacle(scenario, name), kv_dtype=name),
                take=lambda name: session.change(kv_dtype=name),
                typed=lambda text: _kv_typed(session, text),
                reads="formats of K and V, such as q8_0/q4_0",
            )
        )


class ModelPicker(Picker):
    """Chooses a model of the catalogue, or reads one from a file, a folder or the Hub."""

    def __init__(self, session: Session) -> None:
        def typed(text: str) -> Callable[[], None]:
            model = load_model(text)
            return lambda: session.set_model(model, text)

        super().__init__(model_source(session.scenario, lambda name: session.set_model(find_model(name)), typed))


class DevicePicker(Picker):
    """Chooses a device of the catalogue."""

    def __init__(self, session: Session) -> None:
        scenario = session.scenario
        super().__init__(
            Source(
                title=f"device for {plain(scenario.model.name, 60)}",
                placeholder="search 'h200', 'mac 64', '5060ti 16', 'laptop'",
                columns=DEVICE_COLUMNS,
                current=scenario.device.name,
                entries=_all_devices,
                fit=lambda name: _fit(scenario, device=find_device(name)),
                take=lambda name: session.set_device(find_device(name)),
                meant=lambda text: _meant(find_device, text),
            )
        )


def model_source(scenario: Scenario, take: Callable[[str], None], typed: Callable[[str], Callable[[], None]]) -> Source:
    """The catalogue's models with what they would do to ``scenario``; ``typed`` loads what is not in it."""
    return Source(
        title=f"model for {_devices(scenario)}",
        placeholder="search 'qwen3 moe', or type a file, a folder, hf:ORG/NAME",
        columns=MODEL_COLUMNS,
        current=scenario.model.name,
        entries=lambda: _models(scenario),
        fit=lambda name: _fit(scenario, model=find_model(name)),
        take=take,
        typed=typed,
        meant=lambda text: _meant(_model_named, text),
    )


def _model_named(text: str) -> ModelSpec:
    return get_model(text) or named_model(text)


def _meant(find: Callable[[str], ModelSpec | DeviceSpec], text: str) -> tuple[str, ...]:
    """The names of what a command line understands by ``text``: one, several, or none."""
    try:
        return (find(text).name,)
    except SeveralNames as error:
        return error.near
    except InputError:
        return ()


def _devices(scenario: Scenario) -> str:
    return f"{scenario.layout.devices} × {scenario.device.name}"


def _models(scenario: Scenario) -> Iterator[Entry]:
    for model in all_models():
        fixed = model.bounded_bytes(_kv(model, scenario)) + model.state_bytes()
        yield Entry(
            name=model.name,
            words=" ".join((model.name, *model.aliases, *model.layer_kinds)).casefold().replace("_", " "),
            cells=(
                f"{model.bytes_per_token(_kv(model, scenario)):,}",
                format_bytes(fixed, 1) if fixed else ABSENT,
                ABSENT if model.max_context is None else format_tokens(model.max_context),
                ABSENT if model.parameters is None else format_count(model.parameters),
                ABSENT if model.active_parameters in (None, model.parameters) else format_count(_active(model)),
            ),
            about=_about_model(model),
        )


def _active(model: ModelSpec) -> int:
    return model.active_parameters or 0


def _about_model(model: ModelSpec) -> str:
    kinds = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in model.layer_kinds.items())
    return f"layers: {kinds}; confidence {model.confidence}"


def _weights(scenario: Scenario) -> list[Entry]:
    """Every format with the size of the model's files, those that are run first, and of them the largest.

    Of mixtures that a producer chooses, bounds.
    """
    model = scenario.model
    found = [
        _offered(
            size.name,
            (
                format_bytes(size.file_bytes),
                ABSENT if size.least_bytes is None else format_bytes(size.least_bytes),
                f"{size.bits_per_weight:.2f}",
            ),
            size.meaning,
            weights_risk(size.name, model),
            weights_obstacle(scenario, size.name),
        )
        for size in format_sizes(model)
    ]
    return sorted(found, key=lambda entry: entry.last)


def _caches(scenario: Scenario) -> list[Entry]:
    """Every format of K and V with what it takes, those that are run first, and of them the largest."""
    now, own, found = _kv_bytes(scenario), canonical(scenario.kv_dtype), []
    for name in dict.fromkeys((*KV_FORMATS, own)):
        try:
            tried = adapted(scenario, {"kv_dtype": name})[0]
            each, whole = tried.model.bytes_per_token(tried.kv), _kv_bytes(tried)
        except InputError:
            continue
        cells = f"{each:,} B", format_bytes(whole), ABSENT if not now else f"{whole / now:.0%}"
        about = f"{tried.kv.bits_per_element:g} bits an element, scales included"
        found.append((whole, _offered(name, cells, about, cache_risk(name), kv_obstacle(scenario, name))))
    return [entry for _, entry in sorted(found, key=lambda one: (one[1].last, -one[0]))]


def _kv_bytes(scenario: Scenario) -> int:
    """Bytes of all K and V of ``scenario``, its sequences as full as it says."""
    return plan(scenario).total.kv


def _kv_typed(session: Session, text: str) -> Callable[[], None]:
    kv_format(text)
    return lambda: session.change(kv_dtype=canonical(text))


def _offered(name: str, cells: tuple[str, ...], about: str, risk: Risk, obstacle: str) -> Entry:
    """The row of a format: its risk after the sizes, and last in the list where it is not run, with the reason."""
    said = [f"{risk.word} risk: {risk.source}" if risk.source else "", obstacle]
    return Entry(
        name=name,
        words=f"{name} {about} {risk.word}".casefold(),
        cells=(*cells, risk.word),
        about="; ".join([about, *filter(None, said)]),
        last=bool(obstacle),
    )


def _all_devices() -> Iterator[Entry]:
    for device in all_devices():
        peak = device.peak("bf16")
        yield Entry(
            name=device.name,
            words=search_words(device),
            cells=(
                f"{device.usable_bytes / GIB:,.2f} GiB",
                f"{device.bandwidth_gbs:,.0f}",
                ABSENT if peak is None else f"{peak:,g}",
                ABSENT if device.tdp_watts is None else f"{device.tdp_watts:,.0f}",
                ABSENT if device.price is None else f"{device.price.low:g}–{device.price.high:g}",
            ),
            about=_about_device(device),
        )


def _about_device(device: DeviceSpec) -> str:
    memory = f"{device.memory.modules} × {device.memory.module_gib:g} GiB {device.memory.kind}"
    link = "" if device.link is None else f", {device.link}"
    note = "" if device.note is None else f"; {device.note}"
    return f"{device.vendor} {device.family}, {memory}{link}, confidence {device.confidence}{note}"


def _kv(model: ModelSpec, scenario: Scenario) -> Format:
    return adapted(scenario, {"model": model})[0].kv


def _format_fit(scenario: Scenario, obstacle: str, **chosen: object) -> Fit:
    return Fit(False, "not run") if obstacle else _fit(scenario, **chosen)


def _fit(scenario: Scenario, **chosen: object) -> Fit:
    try:
        found = plan(adapted(scenario, chosen)[0])
    except InputError:
        return Fit(False, "not at all")
    if found.fits:
        return Fit(True, f"{found.used:.0%} full")
    if found.devices_needed is None:
        return Fit(False, "too large")
    return Fit(False, f"needs {found.devices_needed:,}")
