"""Pictures in a terminal's own pixels: what is sent is what was drawn, and what a terminal says is understood."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Images

from kvtui.canvas.memory.layout import Rect
from kvtui.canvas.palette import RAMP, Ink, hex_color
from kvtui.canvas.pixels import kitty, sixel
from kvtui.canvas.pixels.detail import MOST_PIXELS, MOVING_PIXELS, coarser, finest
from kvtui.canvas.pixels.picture import PixelPaint, has_room, picture
from kvtui.canvas.pixels.raster import Raster, png, raster, raster_of_colors, with_holes
from kvtui.canvas.pixels.terminal import ANSWER, Graphics, Protocol, is_asked, is_last, understood
from kvtui.plots.png import colors_of
from kvtui.plots.png import png as drawing
from tests.emulated import decoded_sixel, kitty_commands

KITTY_SAYS = "\x1b_Gi=31;OK\x1b\\"


def rasters() -> st.SearchStrategy[Raster]:
    """Pictures of some colours, of any size."""

    def made(size: tuple[int, int], colors: int, seed: int) -> Raster:
        rng = np.random.default_rng(seed)
        table = rng.permutation(256 * 256)[:colors]
        rows = np.stack((table % 256, table // 256, table % 7), axis=1).astype(np.uint8)
        return Raster(rng.integers(0, colors, size).astype(np.uint8), rows)

    sizes = st.tuples(st.integers(1, 40), st.integers(1, 70))
    return st.builds(made, sizes, st.integers(1, 256), st.integers(0, 2**16))


def seen(file: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Red, green, blue and opacity of a PNG file, by another program's decoder."""
    return np.asarray(Images.open(io.BytesIO(file)).convert("RGBA"))


@given(rasters(), st.integers(0, 2**16))
def test_a_png_file_has_the_pictures_colours_and_its_holes(found: Raster, seed: int) -> None:
    assert np.array_equal(seen(png(found))[..., :3], found.colors[found.pixels])
    holes = np.random.default_rng(seed).random((3, 4)) < 0.4
    shown = seen(png(with_holes(found, holes)))
    rows, columns = np.arange(found.height) * 3 // found.height, np.arange(found.width) * 4 // found.width
    assert np.array_equal(shown[..., 3] == 0, holes[np.ix_(rows, columns)])


@given(rasters())
def test_sixels_are_the_picture(found: Raster) -> None:
    shown = decoded_sixel(sixel.place(found))
    whole = shown[: found.height, : found.width]
    percents = np.rint(found.colors.astype(float) * 100 / 255)
    assert np.array_equal(whole, percents[found.pixels])


@given(st.binary(min_size=1, max_size=20_000))
def test_kittys_commands_carry_the_file(file: bytes) -> None:
    text = kitty.place(file, 7, 20, 10)
    commands = kitty_commands(text)
    assert b64decode("".join(data for _, data in commands)) == file
    first = dict(pair.split("=") for pair in commands[0][0].split(","))
    assert (first["i"], first["c"], first["r"], first["q"]) == ("7", "20", "10", "2")
    assert [keys.endswith("m=0") for keys, _ in commands] == [False] * (len(commands) - 1) + [True]
    assert all(len(data) <= kitty.CHUNK for _, data in commands)


def test_colours_beyond_the_most_become_near_ones() -> None:
    inks = np.arange(RAMP, RAMP + 32, dtype=np.uint16).repeat(4).reshape(8, 16)
    whole, few = raster(inks, "dark", "#000000"), raster(inks, "dark", "#000000", 6)
    assert len(whole.colors) == 32
    assert len(few.colors) == 6
    away = few.colors[few.pixels].astype(int) - whole.colors[whole.pixels]
    assert np.abs(away).max() < 80
    assert raster(np.zeros((2, 2), dtype=np.uint16), "dark", "#0a0e17").colors.tolist() == [[10, 14, 23]]


@pytest.mark.parametrize(
    ("answers", "environ", "protocol"),
    [
        ([KITTY_SAYS, "\x1bP>|kitty(0.32)\x1b\\", "\x1b[?62;c"], {}, "kitty"),
        (["\x1b_Gi=31;ENOTSUPPORTED\x1b\\", "\x1b[?62c"], {}, None),
        (["\x1bP>|XTerm(379)\x1b\\", "\x1b[6;17;9t", "\x1b[?63;1;2;4;6;9;15;22c"], {}, "sixel"),
        (["\x1b[6;17;9t", "\x1b[?1;0;0S", "\x1b[?64;4c"], {}, None),
        (["\x1b[?64;4c"], {}, None),
        (["\x1bP>|iTerm2 3.5.4\x1b\\", "\x1b[?62;4c"], {}, "iterm2"),
        (["\x1b[?62c"], {"LC_TERMINAL": "iTerm2"}, "iterm2"),
        ([], {"TMUX": "/tmp/t,1,0", "LC_TERMINAL": "iTerm2"}, None),
        (["\x1b[?1;2c"], {}, None),
        ([], {}, None),
    ],
)
def test_what_a_terminal_says(answers: Sequence[str], environ: dict[str, str], protocol: str | None) -> None:
    found = understood(answers, environ)
    assert found.protocol == protocol
    if "\x1b[6;17;9t" in answers:
        assert found.cell == (9, 17)
    assert ANSWER.findall("a" + "".join(answers) + "b") == list(answers)
    assert [is_last(answer) for answer in answers] == [False] * (len(answers) - 1) + [True] * bool(answers)


@pytest.mark.parametrize(
    ("environ", "asked"),
    [
        ({"TERM": "xterm-kitty"}, True),
        ({"TERM": "linux"}, False),
        ({"TERM": "tmux-256color", "TMUX": "/tmp/t,1,0"}, False),
        ({"TERM": "screen", "STY": "1.tty"}, False),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, False),
    ],
)
def test_who_is_asked(environ: dict[str, str], asked: bool) -> None:
    assert is_asked(environ) == asked


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
@pytest.mark.parametrize("cell", [(8, 16), (9, 17), (20, 45)])
def test_details_are_square_and_bounded(protocol: Protocol, cell: tuple[int, int]) -> None:
    graphics = Graphics(protocol, cell)
    for cells in (100, 4000, 40_000):
        best, moving = finest(graphics, cells), coarser(graphics, cells)
        assert best.across * best.down * cells <= MOST_PIXELS
        if cells == 100:
            assert (best.across, best.down) == cell
        assert all(one.across * one.down * cells <= MOVING_PIXELS for one in moving[1:] if one.lines)
        assert list(moving) == sorted(moving, key=lambda one: (one.across, one.colors))
        for one in (best, *moving):
            assert one.height == pytest.approx((cell[1] / one.down) / (cell[0] / one.across))


@pytest.mark.parametrize("protocol", ["kitty", "iterm2", "sixel"])
def test_a_picture_fills_its_cells(protocol: Protocol) -> None:
    graphics, rect = Graphics(protocol, (9, 17)), Rect(3, 2, 20, 10)
    inks = np.full((20, 40), Ink.WEIGHTS, dtype=np.uint16)
    detail = coarser(graphics, 200)[1]._replace(across=2.0, down=2.0)
    nothing = np.zeros((10, 20), dtype=bool)
    found = picture(graphics, rect, inks, detail, PixelPaint("dark", "#000000"), nothing)
    wanted = tuple(bytes.fromhex(hex_color(Ink.WEIGHTS, "dark")[1:]))
    if protocol == "sixel":
        shown = decoded_sixel(found.text)[:170, :180]
        assert np.array_equal(np.unique(shown), np.unique(np.rint(np.array(wanted) * 100 / 255)))
        assert shown.shape == (170, 180, 3)
        assert not has_room(graphics._replace(largest=(100, 1000)), rect)
    elif protocol == "iterm2":
        assert "width=20;height=10" in found.text
        assert tuple(seen(b64decode(found.text.partition(":")[2][:-1]))[0, 0, :3]) == wanted
    else:
        assert tuple(seen(b64decode("".join(d for _, d in kitty_commands(found.text))))[0, 0, :3]) == wanted
    assert bool(found.removal) == (protocol == "kitty")


def test_a_drawing_by_resvg_is_read() -> None:
    pytest.importorskip("resvg_py")
    circle = '<circle cx="30" cy="20" r="18" fill="#1e90ff"/>'
    file = drawing(f'<svg xmlns="http://www.w3.org/2000/svg" width="90" height="40">{circle}</svg>', 3.0)
    image = colors_of(file)
    assert np.array_equal(image, seen(file)[..., :3])
    few = raster_of_colors(image, 8)
    assert len(few.colors) <= 8
    assert np.abs(few.colors[few.pixels].astype(int) - image).mean() < 4
