"""Files written whole or not at all, and read without ever waiting for what may not come.

Every reader and writer of the package goes through here. What is at a path is looked at before it is opened: to be
written it may be a regular file, a link to one, a device or a FIFO; to be read a regular file, of which no more is read
than it says it has, because some of ``/proc`` never end. A descriptor that the shell opened (``/dev/stdin``,
``/dev/fd/63`` of a process substitution) is a stream, under whichever name, and is read and written as such.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.places import DATA, confined
from kvtui.engine.basis.untrusted import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO, NoReturn

    FilePath = str | os.PathLike[str]

_DESCRIPTORS = "/dev/fd/", "/proc/self/fd/"
_STANDARD = {"/dev/stdin": 0, "/dev/stdout": 1, "/dev/stderr": 2}


def write_whole(path: FilePath, content: str | bytes) -> None:
    """Write ``content`` to ``path``; text as UTF-8.

    A regular file is written beside its place and then put there at once, so that it is never seen half. One that was
    there keeps its mode and owner, and a link stays: the file that it leads to is replaced. A device, a FIFO and an
    open descriptor are written to as they are. Raises OSError, which names ``path`` as it was given.
    """
    data = content.encode() if isinstance(content, str) else content
    name = os.fspath(path)
    try:
        _need_allowed(name, writing=True)
        descriptor = _descriptor(name)
        before = None if descriptor is not None else _found(name)
        if descriptor is not None:
            _pour(os.dup(descriptor), data)
        elif before is None or stat.S_ISREG(before.st_mode):
            _replace(name, before, data)
        elif stat.S_ISDIR(before.st_mode):
            _refuse(errno.EISDIR, name)
        else:
            _pour(os.open(name, os.O_WRONLY), data)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), name) from None
    except ValueError as error:
        raise OSError(errno.EINVAL, str(error), name) from None


def open_to_read(path: FilePath) -> BinaryIO:
    """The regular file or open descriptor at ``path``, from its start, opened without waiting for anybody.

    Raises FileNotFoundError, and InputError, one line that names ``path``, for anything else that cannot be read.
    """
    name = os.fspath(path)
    try:
        _need_allowed(name)
        descriptor = _descriptor(name)
        if descriptor is not None:
            return os.fdopen(os.dup(descriptor), "rb")
        _need_regular(name, os.stat(name).st_mode)
        descriptor = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            _need_regular(name, os.fstat(descriptor).st_mode)
            return os.fdopen(descriptor, "rb")
        except BaseException:
            os.close(descriptor)
            raise
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise error if isinstance(error, InputError) else unreadable(name, error) from None


def read_limited(path: FilePath, most: int) -> bytes:
    """All bytes of the regular file or open descriptor at ``path``; of a file no more than it says it has.

    Raises as ``open_to_read`` does, and InputError for more than ``most`` bytes.
    """
    with open_to_read(path) as file:
        found = os.fstat(file.fileno())
        size = found.st_size if stat.S_ISREG(found.st_mode) else most + 1
        try:
            data = file.read(min(size, most + 1))
        except OSError as error:
            raise unreadable(path, error) from None
    if size > most + 1 or len(data) > most:
        unit, name = (2**20, "MiB") if most >= 2**20 else (2**10, "KiB")
        raise InputError(f"{_shown(path)}: is larger than {most // unit} {name}")
    return data


def read_text(path: FilePath, most: int) -> str:
    """The UTF-8 text at ``path``, of at most ``most`` bytes, without a byte order mark. Raises as ``read_limited``."""
    data = read_limited(path, most)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{_shown(path)}: line {line}: is not UTF-8 text") from None


def unreadable(path: FilePath, error: Exception) -> InputError:
    """What to say of a ``path`` that could not be read because of ``error``."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"{_shown(path)}: cannot be read: {plain(reason)}")


def _descriptor(name: str) -> int | None:
    """The number of the open descriptor that ``name`` means."""
    if not name.startswith(_DESCRIPTORS):
        return _STANDARD.get(name)
    number = os.path.basename(name)
    return int(number) if number.isascii() and number.isdecimal() and len(number) < 10 else None


def _need_allowed(name: str, writing: bool = False) -> None:
    """Raises PermissionError for a file, link or descriptor that a confined process may not have."""
    folder = confined()
    if folder is None:
        return
    place = os.path.realpath(name)
    homes = (folder,) if writing else (folder, DATA)
    if _descriptor(name) is not None or not any(place.startswith(os.path.realpath(home) + os.sep) for home in homes):
        raise PermissionError(errno.EACCES, "files of this machine are not for visitors", name)


def _found(name: str) -> os.stat_result | None:
    """What is at ``name``, links followed; None where a file can be made."""
    try:
        return os.stat(name)
    except FileNotFoundError:
        if not name:
            raise
        if os.path.basename(name) in {"", ".", ".."}:
            _refuse(errno.EISDIR, name)
        return None


def _replace(name: str, before: os.stat_result | None, data: bytes) -> None:
    """Put a file with ``data`` where ``name`` leads; ``before`` is the file that is there."""
    target = os.path.realpath(name)
    if before is not None and not os.access(target, os.W_OK):
        _refuse(errno.EACCES, name)
    partial = os.path.join(os.path.dirname(target), f".{os.urandom(8).hex()}.partial")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    descriptor = os.open(partial, flags, 0o666)
    try:
        if before is not None:
            _take_over(partial, before)
        _pour(descriptor, data)
        os.replace(partial, target)
    except BaseException:
        os.unlink(partial)
        raise


def _take_over(partial: str, before: os.stat_result) -> None:
    """Give the file ``partial`` the owner, where this process may, and the mode that ``before`` has."""
    now = os.stat(partial)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        with suppress(PermissionError):
            os.chown(partial, before.st_uid, before.st_gid)
    os.chmod(partial, stat.S_IMODE(before.st_mode))


def _pour(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _need_regular(name: str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise InputError(f"{_shown(name)}: is not a regular file")


def _shown(path: FilePath) -> str:
    return plain(os.fspath(path), limit=400)


def _refuse(number: int, name: str) -> NoReturn:
    raise OSError(number, os.strerror(number), name)
