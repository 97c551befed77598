"""Files: whole or not at all, whatever is in their place; and readers that never wait for what may not come."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import open_to_read, read_limited, read_text, write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="modes, links and FIFOs of POSIX")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def python(code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    done: subprocess.CompletedProcess[bytes] = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=120, **options
    )
    return done


@posix
def test_a_new_file_has_the_mode_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_whole(tmp_path / "new", "text é")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o640
    assert (tmp_path / "new").read_bytes() == "text é".encode()


@posix
@pytest.mark.parametrize("kept", [0o600, 0o640, 0o755, 0o444])
def test_a_file_keeps_its_mode(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "kept"
    path.write_text("before")
    path.chmod(kept)
    if os.access(path, os.W_OK):
        write_whole(path, b"after")
        assert path.read_text() == "after"
    else:
        with pytest.raises(PermissionError):
            write_whole(path, b"after")
        assert path.read_text() == "before"
    assert mode(path) == kept


@posix
@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root may give files away")
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "owned"
    path.write_text("before")
    os.chown(path, 12_345, 54_321)
    write_whole(path, "after")
    assert (path.stat().st_uid, path.stat().st_gid) == (12_345, 54_321)


@posix
def test_a_link_stays_and_leads_to_what_was_written(tmp_path: Path) -> None:
    for name, target in (("link", "file"), ("far", "link"), ("dangling", "elsewhere")):
        (tmp_path / name).symlink_to(target)
    (tmp_path / "file").write_text("before")
    (tmp_path / "file").chmod(0o600)
    write_whole(tmp_path / "far", "after")
    write_whole(tmp_path / "dangling", "made")
    assert all((tmp_path / name).is_symlink() for name in ("link", "far", "dangling"))
    assert ((tmp_path / "file").read_text(), (tmp_path / "elsewhere").read_text()) == ("after", "made")
    assert mode(tmp_path / "file") == 0o600
    assert len(list(tmp_path.iterdir())) == 5


@posix
def test_a_fifo_is_written_to_and_stays_one(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard: list[bytes] = []
    reader = threading.Thread(target=lambda: heard.append(fifo.read_bytes()))
    reader.start()
    write_whole(fifo, "through")
    reader.join(timeout=60)
    assert heard == [b"through"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@posix
def test_a_device_stays_one(tmp_path: Path) -> None:
    null = tmp_path / "null"
    try:
        os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        null.open("wb").close()
    except PermissionError:
        null = Path(os.devnull)
    write_whole(null, "gone")
    assert stat.S_ISCHR(null.stat().st_mode)


@posix
@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_an_open_descriptor_is_written_where_it_stands(tmp_path: Path, name: str) -> None:
    code = (
        "import os\nfrom kvtui.engine.basis.files import write_whole\n"
        f"os.write(1, b'one ')\nwrite_whole({name!r}, 'two')"
    )
    with (tmp_path / "log").open("ab") as log:
        log.write(b"zero ")
        log.flush()
        subprocess.run([sys.executable, "-c", code], stdout=log, check=True, timeout=120)
    assert (tmp_path / "log").read_text() == "zero one two"
    assert python(code).stdout == b"one two"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (".", IsADirectoryError),
        ("..", IsADirectoryError),
        ("/", IsADirectoryError),
        ("new/", IsADirectoryError),
        ("", FileNotFoundError),
        ("no/such/folder", FileNotFoundError),
        ("a\0b", OSError),
        ("x" * 300, OSError),
        ("loop", OSError),
    ],
)
def test_what_cannot_be_written_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(error) as caught:
        write_whole(name, "text")
    assert caught.value.filename == name
    assert caught.value.strerror
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_failure_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "after")
    assert [(found.name, found.read_text()) for found in tmp_path.iterdir()] == [("file", "before")]


def test_readers_never_see_half_of_it(tmp_path: Path) -> None:
    path, sizes = tmp_path / "file", (10, 3_000_000)
    write_whole(path, b"x" * sizes[0])
    ends = threading.Event()
    seen: set[int] = set()

    def look() -> None:
        while not ends.is_set():
            seen.add(len(path.read_bytes()))

    looker = threading.Thread(target=look)
    looker.start()
    for turn in range(20):
        write_whole(path, b"x" * sizes[turn % 2])
    ends.set()
    looker.join()
    assert seen
    assert seen <= set(sizes)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, before: bytes, after: bytes) -> None:
    path = tmp_path_factory.mktemp("files") / "file"
    for content in (before, after):
        write_whole(path, content)
        assert read_limited(path, 300) == content
        with open_to_read(path) as file:
            assert file.read() == content


def written(path: Path, size: int) -> Path:
    write_whole(path, "x" * size)
    return path


def test_text_has_no_mark_and_a_limit_and_says_its_line(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\n")
    assert read_text(path, 7) == "one\n"
    with pytest.raises(InputError, match=r"text: is larger than 3 KiB$"):
        read_text(written(path, 3073), 3072)
    with pytest.raises(InputError, match=r"text: is larger than 2 MiB$"):
        read_text(written(path, 2**21 + 1), 2**21)
    path.write_bytes(b"one\ntwo\xff")
    with pytest.raises(InputError, match=r"text: line 2: is not UTF-8 text$"):
        read_text(path, 100)


@posix
@pytest.mark.parametrize("read", [open_to_read, lambda path: read_limited(path, 10), lambda path: read_text(path, 10)])
def test_what_may_never_end_is_not_opened(tmp_path: Path, read: Callable[[Path | str], object]) -> None:
    """Each of these would wait for ever, or never come to an end."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    for path in (tmp_path / "fifo", tmp_path / "link", tmp_path, Path("/dev/zero"), Path(os.devnull)):
        with pytest.raises(InputError, match=r"is not a regular file$"):
            read(path)
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none")
    with pytest.raises(InputError, match=r"cannot be read: .*embedded null"):
        read("a\0b")


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="Linux's /proc")
def test_of_a_file_that_says_it_is_empty_nothing_is_read() -> None:
    """``/proc/kmsg`` calls itself a regular file, and reading it waits and takes messages away."""
    assert Path("/proc/self/status").read_bytes()
    assert read_limited("/proc/self/status", 100) == b""


@posix
def test_what_the_shell_opened_is_read_as_a_stream() -> None:
    code = "import sys\nfrom kvtui.engine.basis.files import read_limited\nprint(read_limited(sys.argv[1], 5))"
    for name in ("/dev/stdin", "/dev/fd/0"):
        done = subprocess.run([sys.executable, "-c", code, name], input=b"12345", capture_output=True, check=True)
        assert done.stdout == b"b'12345'\n"
    endless = "import sys\nfrom kvtui.engine.basis.files import read_limited\nread_limited('/dev/stdin', 2**20)"
    with open("/dev/zero", "rb") as zero:
        done = subprocess.run(
            [sys.executable, "-c", endless], stdin=zero, capture_output=True, timeout=120, check=False
        )
    assert b"/dev/stdin: is larger than 1 MiB" in done.stderr
