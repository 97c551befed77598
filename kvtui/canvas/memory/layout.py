"""Where the die and the memory modules stand on the board, for any size of terminal."""

from __future__ import annotations

from functools import lru_cache
from math import ceil
from typing import NamedTuple

MIN_MODULE_ROWS = 3
MIN_MODULE_WIDTH = 4
MIN_DIE_WIDTH = 14
MIN_DIE_ROWS = 5
MIN_BOARD_ROWS = 8
MIN_BEYOND_ROWS = 3
NARROWER = (1.0, 0.7, 0.5, 0.35, 0.25, 0.15)
GAP = 5


class Rect(NamedTuple):
    """A rectangle of cells."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        """The row in the middle."""
        return self.y + self.height // 2

    @property
    def right(self) -> int:
        """The first column after it."""
        return self.x + self.width

    def fits(self, width: int, height: int) -> bool:
        """Whether all of it lies in ``width`` × ``height`` cells."""
        return self.x >= 0 and self.y >= 0 and self.right <= width and self.y + self.height <= height

    def holds(self, x: int, y: int) -> bool:
        """Whether a cell is inside."""
        return self.x <= x < self.right and self.y <= y < self.y + self.height


class Board(NamedTuple):
    """The bank grids of the ``modules`` (all of one size, a label row above each) and the ``die`` (None if no room).

    ``sides`` says for each module whether it stands left or right of the die, or above it. ``ram`` is the grid of the
    machine's own memory below the rest, with a label row above it, and ``beyond`` that of what the device has no room
    for; None where none is drawn.
    """

    modules: tuple[Rect, ...]
    die: Rect | None
    sides: tuple[str, ...]
    ram: Rect | None = None
    beyond: Rect | None = None

    @property
    def banks_per_module(self) -> int:
        """Cells of one module's grid."""
        return self.modules[0].width * self.modules[0].height

    @property
    def banks(self) -> int:
        """Cells of all modules."""
        return self.banks_per_module * len(self.modules)


@lru_cache(maxsize=64)
def arrange(width: int, height: int, modules: int, ram: float = 0.0, over: float = 0.0) -> Board:
    """The board for ``modules`` stacks or chips in ``width`` × ``height`` cells.

    Modules stand in columns left and right of the die; where that leaves them too small, they take the upper part and
    the die, if there is room, the lower. ``over`` is what is needed beyond the device and ``ram`` what is to be drawn
    of the RAM, both in capacities of the device: their banks stand for as many bytes each, below a board that is as
    large as that leaves it. Without room for all of them there is as much as possible of ``over``, and no RAM.
    """
    if not ram and not over:
        return _device(width, height, modules)
    for share in NARROWER:
        for rows in range(2, height - MIN_BOARD_ROWS + 1):
            board = _device(max(MIN_DIE_WIDTH, int(width * share)), height - rows, modules)
            below = [ceil(board.banks * part / width) for part in (over, ram)]
            if sum(below) + sum(map(bool, below)) <= rows:
                return _with_below(board, width, height - rows, *below)
    rows = height - MIN_BOARD_ROWS
    if not over or rows < MIN_BEYOND_ROWS:
        return _device(width, height, modules)
    return _with_below(_device(width, MIN_BOARD_ROWS, modules), width, MIN_BOARD_ROWS, rows - 1, 0)


def _with_below(board: Board, width: int, y: int, over: int, ram: int) -> Board:
    """``board`` in the middle, and from row ``y`` on so many rows of what is beyond it and of RAM, under their labels.

    A row of each is its label's.
    """
    shift = (width - max(rect.right for rect in (*board.modules, *((board.die,) if board.die else ())))) // 2
    beyond = Rect(0, y + 1, width, over) if over else None
    below = y + over + bool(over)
    return Board(
        tuple(rect._replace(x=rect.x + shift) for rect in board.modules),
        None if board.die is None else board.die._replace(x=board.die.x + shift),
        board.sides,
        Rect(0, below + 1, width, ram) if ram else None,
        beyond,
    )


def _device(width: int, height: int, modules: int) -> Board:
    """The board of a device alone."""
    if modules == 1:
        return _one(width, height)
    die_width = max(MIN_DIE_WIDTH, min(64, int(width * 0.36)))
    side = (width - die_width - 2 * GAP) // 2
    left = -(-modules // 2)
    columns = next((c for c in range(1, left + 1) if height // -(-left // c) > MIN_MODULE_ROWS), 0)
    too_low = height - 3 < MIN_DIE_ROWS
    if too_low or not columns or side // columns < MIN_MODULE_WIDTH or width - 2 * (side + GAP) < MIN_DIE_WIDTH:
        return _stacked(width, height, modules)
    rows = -(-left // columns)
    grid_width, pitch = side // columns - (1 if columns > 1 else 0), height // rows
    grid_height = pitch - 1 - (1 if pitch > 5 else 0)
    top = (height - pitch * rows) // 2
    rects, sides = [], []
    for number in range(modules):
        on_left = number < left
        index = number if on_left else number - left
        column, row = divmod(index, rows)
        here = min(rows, (left if on_left else modules - left) - column * rows)
        x = column * (grid_width + 1) if on_left else width - side + column * (grid_width + 1)
        lowered = (rows - here) * pitch // 2
        rects.append(Rect(x, top + lowered + row * pitch + 1, grid_width, grid_height))
        sides.append("left" if on_left else "right")
    die_height = min(height - 3, max(7, round(die_width * 0.62)))
    x = side + GAP
    die = Rect(x, (height - die_height) // 2, width - 2 * (side + GAP), die_height)
    return Board(tuple(rects), die, tuple(sides))


def _one(width: int, height: int) -> Board:
    """A single memory beside its die, or a wafer that is all memory."""
    side = int(width * 0.62)
    die_height = min(height - 3, max(7, int((width - side - GAP) * 0.62)))
    die = Rect(side + GAP, (height - die_height) // 2, width - side - GAP, die_height)
    if die.width < MIN_DIE_WIDTH or die_height < MIN_DIE_ROWS:
        return Board((Rect(0, 1, width, max(1, height - 1)),), None, ("above",))
    return Board((Rect(0, 1, side, max(1, height - 2)),), die, ("left",))


def _stacked(width: int, height: int, modules: int) -> Board:
    die_height = 6 if height >= 16 and width >= MIN_DIE_WIDTH else 0
    room = height - die_height - (1 if die_height else 0)
    columns = next((c for c in range(1, modules + 1) if room // -(-modules // c) >= 2), modules)
    pitch = max(2, room // -(-modules // columns))
    grid_width = max(1, width // columns - 1)
    rects = tuple(
        Rect((number % columns) * (grid_width + 1), (number // columns) * pitch + 1, grid_width, pitch - 1)
        for number in range(modules)
    )
    die = Rect(0, height - die_height, width, die_height) if die_height else None
    return Board(rects, die, ("above",) * modules)
