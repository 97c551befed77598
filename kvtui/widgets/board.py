"""The board as a widget: paints scenes, and says which bank or device is under the mouse."""

from __future__ import annotations

from textual import events
from textual.message import Message

from kvtui.canvas.memory.board import bank_at, paint
from kvtui.canvas.memory.cluster import LINK_ROWS, ClusterScene, Groups, device_at, paint_cluster, tiles_of
from kvtui.canvas.memory.layout import Board, arrange
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.widget import Canvas

RIGHT_BUTTON = 3


class BoardView(Canvas):
    """Shows the memory of one device, or of many.

    ``modules`` is a device's number of stacks or chips, ``ram`` what is drawn of the machine's RAM and ``over`` what is
    needed at most beyond the device, both in capacities of the device.
    """

    class Hovered(Message):
        """The mouse is over ``place``: a bank, or a device where many are shown; or over none."""

        def __init__(self, place: int | None) -> None:
            super().__init__()
            self.place = place

    class Selected(Message):
        """``place`` was clicked with the right button, or what lies beside."""

        def __init__(self, place: int | None) -> None:
            super().__init__()
            self.place = place

    class Pressed(Message):
        """The board was clicked."""

    class LinkClicked(Message):
        """The row of the link between devices was clicked."""

    def __init__(self, modules: int, ram: float = 0.0, over: float = 0.0, *, id: str) -> None:
        super().__init__(id=id)
        self.modules, self.ram, self.over = modules, ram, over
        self._cluster: Groups | None = None

    @property
    def board(self) -> Board:
        """Where everything stands at the current size."""
        return arrange(self.size.width, self.size.height, self.modules, self.ram, self.over)

    def show(self, scene: Scene) -> None:
        """Paint ``scene``; its codes must be for ``board.banks`` banks."""
        width, height = self.size
        self._cluster = None
        if width and height and len(scene.codes) == self.board.banks:
            self.paint(paint(self.board, width, height, scene))

    def show_cluster(self, scene: ClusterScene) -> None:
        """Paint many devices."""
        width, height = self.size
        self._cluster = tiles_of(width, height, scene.layout, scene.upper)
        if width and height:
            self.paint(paint_cluster(width, height, scene))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Report what is under the mouse."""
        self.post_message(self.Hovered(self._place_at(event.x, event.y)))

    def on_leave(self) -> None:
        """The mouse left the board."""
        self.post_message(self.Hovered(None))

    def on_click(self, event: events.Click) -> None:
        """Say so; with the right button, select what is under the mouse, or nothing."""
        if event.button == RIGHT_BUTTON:
            self.post_message(self.Selected(self._place_at(event.x, event.y)))
        elif self._cluster is not None and event.y >= self.size.height - LINK_ROWS:
            self.post_message(self.LinkClicked())
        else:
            self.post_message(self.Pressed())

    def _place_at(self, x: int, y: int) -> int | None:
        return bank_at(self.board, x, y) if self._cluster is None else device_at(self._cluster, x, y)
