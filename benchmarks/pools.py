"""Predicted beside logged memory of real servers' starts: ``python benchmarks/pools.py``.

Every row of ``tests/data/pools.toml`` is planned twice: whole, and with the weights that the log gives, which shows
what the budget beside them is worth. Weights and activations stand beside the log's own where it prints them; all in
GiB. A start that compiled while it measured has less than later ones, and is compared with the range that they leave.
Goals: median at most 1.5 % and worst 5 % or 0.8 GiB over rows of bf16 and fp8 weights, 3 % and 8 % or 1 GiB over
others.
"""

from __future__ import annotations

import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from kvtui.commands.parser import Parser, add_scenario
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.budget import Budget
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm.releases import FIRST_START

ROWS = Path(__file__).parent.parent / "tests" / "data" / "pools.toml"
GOALS = {False: (0.015, 0.05, 0.8), True: (0.03, 0.08, 1.0)}


class LoggedStart(NamedTuple):
    """A logged start: its scenario, what the log says in GiB, and what is known against the row."""

    scenario: Scenario
    logged: dict[str, Any]
    quantised: bool
    doubt: str

    def predicted(self, weights: float | None = None) -> float:
        """The pool in GiB; of a first start, what in its range is nearest to the logged one."""
        pool = self.divided(weights).pool / GIB
        if not self.logged.get("first_start"):
            return pool
        least, most = (pool - less / GIB for less in reversed(FIRST_START))
        return min(max(least, float(self.logged["pool"])), most)

    @property
    def name(self) -> str:
        """Model, split, device and release, in short."""
        found, layout = self.scenario, self.scenario.layout
        return f"{found.model.name[:22]:22} tp{layout.tp} {found.device.name[:13]:13} {found.serving.version:7}"

    def divided(self, weights: float | None = None) -> Budget:
        """The budget of the tightest stage; of a server that logged ``weights`` in GiB where they are given."""
        scenario = self.scenario
        if weights is not None:
            known = Overheads("log", weights=int(weights * GIB))
            scenario = scenario._replace(serving=scenario.serving._replace(measured=known))
        found = tightest_budget(scenario)
        assert found is not None
        return found


def starts() -> Iterator[LoggedStart]:
    """All rows that kvtui can express; a row that it cannot is printed to stderr."""
    parser = Parser()
    add_scenario(parser)
    for row in tomllib.loads(ROWS.read_text(encoding="utf-8"))["pool"]:
        try:
            values = vars(parser.parse_args(shlex.split(row["options"])))
            if values.get("dp") and not values.get("batch"):
                values["batch"] = values["dp"]
            scenario = scenario_from(values)
        except (InputError, SystemExit) as error:
            print(f"cannot be said: {row['options']}: {error}", file=sys.stderr)
            continue
        if "total" in row:
            device = scenario.device._replace(allocatable_bytes=int(row["total"] * GIB))
            scenario = scenario._replace(device=device)
        yield LoggedStart(scenario, row, row.get("quantised", False), row.get("contradicts", ""))


def main() -> int:
    """Print a line for each start and a summary; return 1 when a goal is missed."""
    print(
        f"{'model':22} {'':3} {'device':13} {'vllm':7}   pool  whole  error  given weights error   weights  activation"
    )
    errors: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    first: list[bool] = []
    for start in starts():
        pool, weights = start.logged["pool"], start.logged.get("weights")
        whole, predicted = start.divided(), start.predicted()
        given = predicted if weights is None else start.predicted(weights)
        told = [f"{pool:7.2f}", *(f"{left:7.2f} {(left - pool) / pool:+7.1%}" for left in (predicted, given))]
        terms = [
            f"{whole.bytes_of(term) / GIB:6.2f}/{start.logged.get(term, float('nan')):<6.2f}"
            for term in ("weights", "activation")
        ]
        unknown = [text for key, text in start.logged.items() if key.startswith("unexplained")]
        if start.logged.get("first_start"):
            unknown.append(f"a first start, a later one has {whole.pool / GIB:.2f}")
        print(start.name, *told, *terms, start.doubt, *unknown)
        if start.logged.get("first_start"):
            first.append(predicted == pool)
        elif not start.doubt:
            errors[start.quantised].append((abs(predicted - pool) / pool, abs(predicted - pool)))
    missed = len(first) - sum(first)
    print(f"first starts: {len(first)} rows, outside of their range: {missed}")
    for quantised, found in errors.items():
        middle, part, size = GOALS[quantised]
        centre = median(relative for relative, _ in found)
        beyond = sum(relative > part and absolute > size for relative, absolute in found)
        missed += beyond + (centre > middle)
        kind = "quantised" if quantised else "bf16 and fp8"
        print(f"{kind}: {len(found)} rows, median {centre:.2%}, beyond {part:.0%} and {size} GiB: {beyond}")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
