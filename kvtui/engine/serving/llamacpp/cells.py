"""How many cells each of a server's slots gets of the context that it was told."""

from __future__ import annotations

from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.buffers import Split, split
from kvtui.engine.serving.llamacpp.releases import build_of

OLD_PADDING, FLASH_PADDING = 32, 256


def divided(scenario: Scenario, context: int, slots: int | None) -> Split:
    """The cells of ``-c context`` for ``slots`` (None: as many as the server takes by itself).

    Builds that pad caches to 32 cells pad them to 256 with FlashAttention.
    """
    serving, build = scenario.serving, build_of(scenario.serving.version)
    if build.padding == OLD_PADDING and scenario.flash_attention:
        build = build._replace(padding=FLASH_PADDING)
    unified = slots is None if serving.kv_unified is None else serving.kv_unified
    ubatch = min(serving.ubatch, scenario.max_batched_tokens, context)
    return split(context, slots or build.slots, unified, build, ubatch, serving.swa_full)
