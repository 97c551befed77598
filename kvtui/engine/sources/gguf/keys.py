"""The metadata of a GGUF file by key: whole numbers within bounds, texts, a number for each layer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.sources.gguf.container import MetadataValue, Skipped

MAX_LAYERS = 1024
MAX_COUNT = 2**16
MAX_LOOPS = 64
MAX_DIM = 2**24
MAX_WINDOW = 2**40


@dataclass(frozen=True, slots=True)
class Keys:
    """The metadata of one file, read by key. ``arch`` is put before a key that begins with a dot."""

    path: PurePath
    metadata: dict[str, MetadataValue]
    arch: str = ""

    def wrong(self, key: str, why: str) -> InputError:
        """An error about ``key`` in this file."""
        return InputError(f"{plain(str(self.path))}: {plain(self.full(key))}: {why}")

    def full(self, key: str) -> str:
        """``key`` as it stands in the file."""
        return self.arch + key if key.startswith(".") else key

    def get(self, key: str) -> MetadataValue | None:
        """The value as stored, None when the file does not have the key."""
        return self.metadata.get(self.full(key))

    def text(self, key: str) -> str | None:
        """A text. Raises InputError when it is of another type, not UTF-8 or very long."""
        value = self.get(key)
        if value is None:
            return None
        if not isinstance(value, bytes):
            raise self.wrong(key, "must be a text of at most 64 KiB")
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise self.wrong(key, "is not UTF-8") from None

    def maybe(self, key: str, *, least: int = 1, most: int = MAX_DIM) -> int | None:
        """A whole number from ``least`` to ``most``, None when the file does not have it. Raises InputError."""
        value = self.get(key)
        return None if value is None else self._whole(key, value, least, most)

    def integer(self, key: str, *, least: int = 1, most: int = MAX_DIM) -> int:
        """A whole number from ``least`` to ``most`` that the file must have. Raises InputError."""
        value = self.maybe(key, least=least, most=most)
        if value is None:
            raise self.wrong(key, f"is missing, and {plain(self.arch)} needs it")
        return value

    def per_layer(self, key: str, layers: int, *, most: int = MAX_DIM) -> tuple[int, ...] | None:
        """A number for each of ``layers`` layers: the file has an array of so many, or one number for all.

        None when it has neither. Raises InputError.
        """
        value = self.get(key)
        if value is None:
            return None
        if isinstance(value, Skipped):
            raise self.wrong(key, f"must be one number or {layers} of them")
        if not isinstance(value, tuple):
            return (self._whole(key, value, 0, most),) * layers
        if len(value) != layers:
            raise self.wrong(key, f"has {len(value)} entries for {layers} layers")
        return tuple(self._whole(key, int(one) if isinstance(one, bool) else one, 0, most) for one in value)

    def _whole(self, key: str, value: MetadataValue, least: int, most: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = "an array" if isinstance(value, tuple | Skipped) else plain(str(value), 40)
            raise self.wrong(key, f"must be a whole number from {least:,} to {most:,}, not {shown}")
        return value
