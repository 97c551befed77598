"""What models are for and their licences: nearly the whole catalogue has one, and the first pattern wins."""

from __future__ import annotations

from kvtui.engine.model.catalogue import model_names
from kvtui.engine.model.labels import labels


def test_the_catalogue_has_licences_and_what_is_not_known_is_for_chat() -> None:
    without = [name for name in model_names() if not labels(name).licence]
    assert without == ["Kimi-K3", "MiniMax-M3", "Ling-3.0-Flash"]
    assert labels("nobody's-model") == ("", ("chat",))


def test_the_first_licence_and_all_uses_hold() -> None:
    assert labels("Qwen2.5-VL-72B") == ("Qwen", ("vision",))
    assert labels("Qwen3-Coder-Next") == ("Apache-2.0", ("code",))
    assert labels("Llama-3.3-Nemotron-Super-49B").licence == "NVIDIA Open Model"
    assert labels("Qwen3.5-9B").uses == ("vision", "reasoning")
