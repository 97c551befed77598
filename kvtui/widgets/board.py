"""The board as a widget: paints scenes, and says which bank is under the mouse."""

from __future__ import annotations

from textual import events
from textual.message import Message

from kvtui.canvas.base import Canvas
from kvtui.canvas.board import Scene, bank_at, paint
from kvtui.canvas.cluster import ClusterScene, paint_cluster
from kvtui.canvas.layout import Board, arrange


class BoardView(Canvas):
    """Shows the memory of one device. ``modules`` is its number of stacks or chips."""

    class Hovered(Message):
        """The mouse is over ``bank``, or over none."""

        def __init__(self, bank: int | None) -> None:
            super().__init__()
            self.bank = bank

    class Selected(Message):
        """``bank`` was clicked, or the board beside the banks."""

        def __init__(self, bank: int | None) -> None:
            super().__init__()
            self.bank = bank

    def __init__(self, modules: int, *, id: str) -> None:
        super().__init__(id=id)
        self.modules = modules

    @property
    def board(self) -> Board:
        """Where everything stands at the current size."""
        return arrange(self.size.width, self.size.height, self.modules)

    def show(self, scene: Scene) -> None:
        """Paint ``scene``; its codes must be for ``board.banks`` banks."""
        width, height = self.size
        if width and height and len(scene.codes) == self.board.banks:
            self.paint(paint(self.board, width, height, scene))

    def show_cluster(self, scene: ClusterScene) -> None:
        """Paint many devices."""
        width, height = self.size
        if width and height:
            self.paint(paint_cluster(width, height, scene))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Report the bank under the mouse."""
        self.post_message(self.Hovered(bank_at(self.board, event.x, event.y)))

    def on_leave(self) -> None:
        """The mouse left the board."""
        self.post_message(self.Hovered(None))

    def on_click(self, event: events.Click) -> None:
        """Select the bank under the mouse, or none."""
        self.post_message(self.Selected(bank_at(self.board, event.x, event.y)))
