"""A what-if beside the model as it is: what its cache would free on the fullest device."""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.what_if import WhatIf, parsed
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.scenario.scenario import Scenario

HONEST = "No engine does this of itself, and answers may change; weights are counted as they are"


class WhatIfGain(NamedTuple):
    """The ``parts`` of a what-if, and bytes of cache on the fullest device: of the ``real`` model, and ``now``."""

    parts: tuple[WhatIf, ...]
    real: int
    now: int

    @property
    def freed(self) -> int:
        """What the what-if frees; below 0 where it takes more."""
        return self.real - self.now


def real_scenario(scenario: Scenario) -> Scenario | None:
    """``scenario`` with its model as it is; None without a what-if."""
    real = scenario.model.real
    return scenario._replace(model=real) if isinstance(real, ModelSpec) else None


def what_if_gain(found: Plan) -> WhatIfGain | None:
    """What the what-if of the plan ``found`` frees at full context; None without one."""
    real = real_scenario(found.scenario)
    if real is None:
        return None
    return WhatIfGain(parsed(found.scenario.model.what_if), plan(real).per_device.cache, found.per_device.cache)
