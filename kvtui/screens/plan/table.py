"""The table of the Plan screen as it is looked at: which one, its figure, order, filter, cursor and marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kvtui.canvas.memory.panels.text import clean
from kvtui.engine.advice.matrix import (
    BEST_FORMAT,
    METRICS,
    SEQUENCES,
    VIEWS,
    MatrixAnswer,
    MatrixPlace,
    MatrixSubject,
    answer,
    table,
)
from kvtui.engine.basis.errors import InputError
from kvtui.engine.scenario.scenario import Scenario
from kvtui.screens.plan.sheet import Order, Sheet, SortKey, Wanted
from kvtui.screens.plan.text import Detail, cell_text, cell_width, metric_title, short_name
from kvtui.widgets.matrix import Grid

MOST_MARKS = 4
ORDERS: dict[Order, str] = {"best first": "↓", "worst first": "↑"}


class PlanTable:
    """What is seen of the tables around ``scenario``, and what the keys of the screen do to that.

    ``subject`` says which table it is and ``metric`` which figure its cells show. ``sorting`` has the keys of the rows'
    order, the first one first; ``wanted`` says which rows and columns are shown, and ``fitting`` the column in which
    every row that is shown fits, None for all rows. ``cursor`` and ``own`` (the scenario's cell) are places in
    the whole table, whatever is shown of it; ``in_sight`` are the rows and columns that are on screen. ``marks`` are
    scenarios to compare, in the order they were marked.

    Raises InputError if the user's catalogues are wrong.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.subject: MatrixSubject = "models"
        self.metric = SEQUENCES
        self.sorting: tuple[SortKey, ...] = ()
        self.wanted = ""
        self.fitting: int | None = None
        self.cursor: MatrixPlace = 0, 0
        self.own: MatrixPlace = 0, 0
        self.in_sight: tuple[tuple[int, ...], tuple[int, ...]] = (), ()
        self.near: tuple[tuple[int, ...], tuple[int, ...]] = (), ()
        self.marks: list[Scenario] = []
        self._sheets: dict[MatrixSubject, Sheet] = {}
        self._known: dict[Scenario, MatrixAnswer] = {}
        self.follow(scenario)

    @property
    def sheet(self) -> Sheet:
        """The table that is shown, with the answers known so far."""
        return self._sheets[self.subject]

    def follow(self, scenario: Scenario) -> None:
        """Take another scenario. Tables with the same cells keep their answers; the cursor goes to a new own cell.

        Raises InputError if the user's catalogues are wrong, and then nothing has changed.
        """
        sheets = {subject: sheet for subject, sheet in self._sheets.items() if sheet.table.same_cells(scenario)}
        self._show(scenario, self.subject, sheets)
        self._known.clear()

    def next_subject(self) -> None:
        """Show the next table, all of it. Raises InputError as ``follow`` does."""
        subjects = list(VIEWS)
        self._show(self.scenario, subjects[(subjects.index(self.subject) + 1) % len(subjects)], self._sheets)
        self.sorting, self.wanted, self.fitting = (), "", None

    def next_metric(self, by: int) -> None:
        """Show the next figure, or the one before."""
        self.metric = METRICS[(METRICS.index(self.metric) + by) % len(METRICS)]

    def move(self, rows: int, columns: int) -> None:
        """Move the cursor among what is shown, no further than to its edges."""
        shown_rows, shown_columns = self.shown()
        if shown_rows and shown_columns:
            row, column = self._among(shown_rows, shown_columns)
            row = max(0, min(row + rows, len(shown_rows) - 1))
            column = max(0, min(column + columns, len(shown_columns) - 1))
            self.cursor = shown_rows[row], shown_columns[column]

    def to_own(self) -> None:
        """Put the cursor on the scenario's own cell."""
        self.cursor = self.own

    def point(self, row: int | None, column: int | None) -> bool:
        """Put the cursor on a row, a column or both, by their places among what is shown; whether it was there.

        Places that are not shown any more do nothing.
        """
        rows, columns = self.shown()
        if (row is not None and row >= len(rows)) or (column is not None and column >= len(columns)):
            return False
        before = self.cursor
        self.cursor = before[0] if row is None else rows[row], before[1] if column is None else columns[column]
        return self.cursor == before

    def sort(self) -> None:
        """Order the rows by the column under the cursor and the figure shown: best first, worst first, not at all."""
        key = SortKey(self.cursor[1], self.metric)
        if self.sorting == (key,):
            self.sorting = (key._replace(order="worst first"),)
        else:
            self.sorting = () if self.sorting == (key._replace(order="worst first"),) else (key,)
        self._to_first()

    def sort_also(self) -> None:
        """Order the rows that are alike so far by the column under the cursor too: best first, worst first, not."""
        key = SortKey(self.cursor[1], self.metric)
        worst = key._replace(order="worst first")
        if key in self.sorting:
            self.sorting = tuple(worst if one == key else one for one in self.sorting)
        elif worst in self.sorting:
            self.sorting = tuple(one for one in self.sorting if one != worst)
        else:
            self.sorting = (*self.sorting, key)
        self._to_first()

    def only_fitting(self) -> None:
        """Show only the rows that fit in the column under the cursor, or all rows again."""
        self.fitting = self.cursor[1] if self.fitting is None else None
        self.filter(self.wanted)

    def filter(self, wanted: str) -> None:
        """Show what ``wanted`` names, rows before a slash and columns behind it; the cursor goes to what is shown."""
        self.wanted = wanted
        self.keep_in_table()

    def keep_in_table(self) -> None:
        """Move the cursor to what is shown, where it is on something that is not."""
        rows, columns = self.shown()
        row, column = self.cursor
        if rows and columns:
            self.cursor = row if row in rows else rows[0], column if column in columns else columns[0]

    def shown(self) -> tuple[list[int], list[int]]:
        """The rows and columns of the table that are shown, in their order."""
        return self.sheet.rows(self.wanted, self.sorting, self.fitting), self.sheet.columns(self.wanted)

    def next_work(self, sheet: Sheet, rest: bool = True) -> Callable[[], None] | None:
        """What of ``sheet`` is to be worked out next: what is in sight first, and with ``rest`` what is not.

        Any thread may ask.
        """
        rows, columns = self.in_sight
        needed = {key.column for key in self.sorting} | ({self.fitting} if self.fitting is not None else set())
        best = [self.cursor]
        if self.metric == BEST_FORMAT:
            best += [(row, column) for row in rows for column in columns]
        by_best = [key.column for key in self.sorting if key.metric == BEST_FORMAT]
        best += [(row, column) for column in by_best for row in range(len(sheet.table.rows))]
        return sheet.take(Wanted(self.in_sight, sorted(needed), self.near, best, rest))

    def answer(self, scenario: Scenario) -> MatrixAnswer:
        """The answer of ``scenario``, worked out once."""
        if scenario not in self._known:
            self._known[scenario] = answer(scenario)
        return self._known[scenario]

    @property
    def selected(self) -> Detail:
        """The cell under the cursor; it is worked out at once if it is not known."""
        row, column = self.cursor
        found = self.sheet.table
        names = found.rows[row], found.columns[column]
        model, device = names if self.subject == "models" else (found.scenario.model.name, names[0])
        try:
            scenario = found.at(row, column)
        except InputError as error:
            return Detail(clean(model), clean(device), None, MatrixAnswer(reason=str(error)))
        known = self.sheet.answers.get(self.cursor) or self.answer(scenario)
        return Detail(clean(model), clean(device), scenario, known)

    def mark(self) -> str:
        """Mark the cell under the cursor, or take its mark away; why not, or nothing."""
        scenario = self.selected.scenario
        if scenario is None:
            return self.selected.answer.reason
        if scenario in self.marks:
            self.marks.remove(scenario)
        elif len(self.marks) == MOST_MARKS:
            return f"{MOST_MARKS} are marked already: take one away first"
        else:
            self.marks.append(scenario)
        return ""

    def to_compare(self) -> tuple[Scenario, ...]:
        """What is marked; a single one, or with no marks the cell under the cursor, behind the scenario itself.

        Fewer than two where there is nothing to compare.
        """
        if len(self.marks) >= 2:
            return tuple(self.marks)
        others = self.marks or [scenario for scenario in (self.selected.scenario,) if scenario is not None]
        return self.scenario, *(scenario for scenario in others if scenario != self.scenario)

    @property
    def title(self) -> str:
        """The figure and what it depends on."""
        return metric_title(self.metric, self.scenario)

    def grid(self) -> Grid:
        """The table for the widget, in which places count what is shown."""
        sheet, found, metric = self.sheet, self.sheet.table, self.metric
        rows, columns = self.shown()
        own = self.own
        return Grid(
            rows=[clean(found.rows[row]) for row in rows],
            columns=[clean(found.columns[column]) for column in columns],
            cell=lambda row, column: cell_text(
                metric, sheet.answers.get((rows[row], columns[column])), self.scenario.context
            ),
            heads=[short_name(clean(found.columns[column])) for column in columns],
            width=cell_width(metric),
            cursor=self._among(rows, columns),
            own=(rows.index(own[0]), columns.index(own[1])) if own[0] in rows and own[1] in columns else None,
            marks=self._marked(rows, columns),
            sorted_by=self._sorted_by(columns),
            corner="model" if self.subject == "models" else "device",
            title=f"{self.title} · {VIEWS[self.subject]}",
            foot=self._foot(rows, columns),
        )

    def saw(self, rows: range, columns: range) -> None:
        """Remember which of the rows and columns shown are in sight, and which rows are a page away."""
        shown_rows, shown_columns = self.shown()
        self.in_sight = tuple(shown_rows[row] for row in rows), tuple(shown_columns[column] for column in columns)
        self.near = tuple(_page(shown_rows, rows)), self.in_sight[1]

    def _show(self, scenario: Scenario, subject: MatrixSubject, sheets: dict[MatrixSubject, Sheet]) -> None:
        known = sheets.get(subject)
        sheet = known or Sheet(table(scenario, subject))
        own = sheet.table.place(scenario) or (0, 0)
        if known is None or own != self.own:
            self.cursor = own
        self.scenario, self.subject, self.own = scenario, subject, own
        self._sheets = {**sheets, subject: sheet}

    def _to_first(self) -> None:
        rows, _ = self.shown()
        if rows and self.sorting:
            self.cursor = rows[0], self.cursor[1]

    def _among(self, rows: Sequence[int], columns: Sequence[int]) -> MatrixPlace:
        """Where the cursor stands among what is shown."""
        row, column = self.cursor
        return rows.index(row) if row in rows else 0, columns.index(column) if column in columns else 0

    def _marked(self, rows: Sequence[int], columns: Sequence[int]) -> dict[MatrixPlace, str]:
        found: dict[MatrixPlace, str] = {}
        for number, scenario in enumerate(self.marks, 1):
            place = self.sheet.table.place(scenario)
            if place is not None and place[0] in rows and place[1] in columns:
                found[rows.index(place[0]), columns.index(place[1])] = str(number)
        return found

    def _sorted_by(self, columns: Sequence[int]) -> dict[int, str]:
        """The sign of each column shown by which rows are ordered."""
        return {columns.index(key.column): ORDERS[key.order] for key in self.sorting if key.column in columns}

    def _foot(self, rows: Sequence[int], columns: Sequence[int]) -> str:
        """Where the cursor is, what orders and filters, and whether something in sight is still worked out."""
        sheet, found = self.sheet, self.sheet.table
        row, column = self._among(rows, columns)
        words = [f"{row + 1 if rows else 0}/{len(rows)} × {column + 1 if columns else 0}/{len(columns)}"]
        if self.fitting is not None:
            words.append(f"only what fits on {clean(found.columns[self.fitting])}")
        for place, key in enumerate(self.sorting):
            name = f"{key.metric.title} on {clean(found.columns[key.column])} {ORDERS[key.order]}"
            words.append(f"{'then' if place else 'by'} {name}")
        if self.wanted.strip():
            words.append(f"only {clean(self.wanted)}")
        if any((row, column) not in sheet.answers for row in self.in_sight[0] for column in self.in_sight[1]):
            words.append("working it out")
        return " · ".join(words)


def _page(shown: Sequence[int], sight: range) -> Sequence[int]:
    """What is in ``sight`` of ``shown``, and as much again on both sides."""
    return shown[max(0, sight.start - len(sight)) : sight.stop + len(sight)]
