"""A command line that starts a server: the scenario that it starts, and the command that starts another one.

Nothing that a command names is started, and no file but the model's own is opened. Example: with four devices instead
of one, ``vllm serve Qwen/Qwen3-32B --port 8000`` is the same command with ``--tensor-parallel-size 4``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvtui.engine.basis.errors import InputError
from kvtui.engine.engines.known import KNOWN, part
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.reconcile.names import logged_model
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import Values, scenario_from, to_values
from kvtui.engine.serving.launching import Launch, LaunchCommand, read_command
from kvtui.engine.sources.load import load_model

GGML_CACHE = "fp16"
"""What llama.cpp keeps K and V in when it is told nothing."""


@dataclass(frozen=True)
class ReadCommand:
    """A ``command`` with the ``scenario`` that it starts. ``notes`` say what was assumed where it is silent."""

    command: LaunchCommand
    scenario: Scenario
    notes: tuple[str, ...]

    def told(self, after: Scenario) -> tuple[str, tuple[str, ...]]:
        """The command that starts the scenario ``after``, and the keys of the options that no flag of it says."""
        old, new = to_values(self.scenario), to_values(after)
        changes = {key: new.get(key) for key in dict.fromkeys((*old, *new)) if old.get(key) != new.get(key)}
        return self.command.changed(_apart(changes))


def _apart(changes: Mapping[str, str | bool | None]) -> dict[str, str | bool | None]:
    """``changes`` in which a cache format is said as that of K and that of V, for engines with a flag for each."""
    found = dict(changes)
    both = found.get("kv_dtype")
    if isinstance(both, str):
        k, _, v = both.partition("/")
        found |= {"k_dtype": k, "v_dtype": v or k}
    return found


def launches() -> tuple[Launch, ...]:
    """How each engine is started that can be told from its command."""
    return tuple(part(known.name, "flags").LAUNCH for known in KNOWN)


def understood(text: str, given: Values) -> ReadCommand | None:
    """The command in ``text`` with the options ``given`` (by key; they override it); None if no server is started.

    Raises InputError when it names no model that is known, or contradicts itself.
    """
    command = read_command(text, launches())
    if command is None:
        return None
    told = {key: value for key, value in given.items() if value is not None}
    notes: list[str] = []
    named = str(told.get("model") or command.values.get("model") or "")
    if not named:
        raise InputError("command: it names no model; name it with --model")
    model, ref = _model(named)
    values = {**_values(command, model), **told, "model": ref}
    if "gpu" not in told:
        notes.append("the command does not name the device: --gpu says what it is to run on")
    if command.unread:
        notes.append(f"without a meaning for memory here: {', '.join(command.unread)}")
    return ReadCommand(command, scenario_from(values, model), tuple(notes))


def _values(command: LaunchCommand, model: ModelSpec) -> dict[str, str | bool | None]:
    values: dict[str, str | bool | None] = {**command.values, "engine": command.launch.engine}
    dtype = values.pop("dtype", None)
    if command.launch.engine == "llama.cpp":
        for key in ("k_dtype", "v_dtype"):
            values.setdefault(key, GGML_CACHE)
    elif dtype:
        values.setdefault("kv_dtype", dtype)
    if model.weight_bytes is None and model.named_weights is None:
        values.setdefault("weight_dtype", model.published_weights or dtype)
    if "context" not in values and model.max_context is not None:
        values["context"] = str(model.max_context)
    values["batch"] = values.get("dp")
    return values


def _model(named: str) -> tuple[ModelSpec, str]:
    """The model that a command calls ``named``, and how it is named on kvtui's own command line."""
    try:
        return load_model(named), named
    except InputError:
        found = logged_model(named)
        if found is None:
            raise
        return found, found.name
