"""The board as a widget: paints scenes, and says which bank or device is under the mouse."""

from __future__ import annotations

from textual import events
from textual.message import Message

from kvtui.canvas.memory.board import bank_at, paint
from kvtui.canvas.memory.cluster import ClusterScene, device_at, paint_cluster
from kvtui.canvas.memory.layout import Board, arrange
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.widget import Canvas


class BoardView(Canvas):
    """Shows the memory of one device, or of many.

    ``modules`` is a device's number of stacks or chips, and ``ram`` what is drawn of the machine's RAM, in capacities
    of the device.
    """

    class Hovered(Message):
        """The mouse is over ``place``: a bank, or a device where many are shown; or over none."""

        def __init__(self, place: int | None) -> None:
            super().__init__()
            self.place = place

    class Selected(Message):
        """``place`` was clicked, or what lies beside."""

        def __init__(self, place: int | None) -> None:
            super().__init__()
            self.place = place

    class LinkClicked(Message):
        """The row of the link between devices was clicked."""

    def __init__(self, modules: int, ram: float = 0.0, *, id: str) -> None:
        super().__init__(id=id)
        self.modules, self.ram = modules, ram
        self._cluster: tuple[int, int, int] | None = None

    @property
    def board(self) -> Board:
        """Where everything stands at the current size."""
        return arrange(self.size.width, self.size.height, self.modules, self.ram)

    def show(self, scene: Scene) -> None:
        """Paint ``scene``; its codes must be for ``board.banks`` banks."""
        width, height = self.size
        self._cluster = None
        if width and height and len(scene.codes) == self.board.banks:
            self.paint(paint(self.board, width, height, scene))

    def show_cluster(self, scene: ClusterScene) -> None:
        """Paint many devices."""
        width, height = self.size
        self._cluster = scene.upper or height, len(scene.tiles), scene.columns
        if width and height:
            self.paint(paint_cluster(width, height, scene))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Report what is under the mouse."""
        self.post_message(self.Hovered(self._place_at(event.x, event.y)))

    def on_leave(self) -> None:
        """The mouse left the board."""
        self.post_message(self.Hovered(None))

    def on_click(self, event: events.Click) -> None:
        """Select what is under the mouse, or nothing."""
        if self._cluster is not None and event.y == self.size.height - 1:
            self.post_message(self.LinkClicked())
        else:
            self.post_message(self.Selected(self._place_at(event.x, event.y)))

    def _place_at(self, x: int, y: int) -> int | None:
        if self._cluster is None:
            return bank_at(self.board, x, y)
        return device_at(self.size.width, *self._cluster, x, y)
