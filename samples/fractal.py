"""A zoom into the Mandelbrot set, in nothing but Python: numbers in, the bytes of PNG pictures out."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

_CENTRE = complex(-0.743643887037151, 0.131825904205330)
_WIDEST, _NARROWEST = 3.0, 0.003
_STEPS = 200
_ESCAPED = 16.0
"""The squared distance beyond which a point never comes back; larger than need be, for smoother colours."""


@dataclass(frozen=True, slots=True)
class View:
    """A part of the complex plane: the `number`th of a zoom (from 1), so wide."""

    number: int
    width: float


def zoom(frames: int) -> Iterator[View]:
    """Views that narrow evenly from the whole set to a detail."""
    for index in range(frames):
        yield View(index + 1, _WIDEST * (_NARROWEST / _WIDEST) ** (index / max(frames - 1, 1)))


def render(view: View, width: int) -> bytes:
    """A picture of the view as a PNG, `width` pixels wide and three quarters as high."""
    height = max(width * 3 // 4, 1)
    pixel = view.width / width
    corner = _CENTRE - complex(width, height) * (pixel / 2)
    rows = (
        bytes(chain.from_iterable(_colour(corner + complex(x, y) * pixel) for x in range(width))) for y in range(height)
    )
    return _png(width, height, rows)


def _colour(point: complex) -> tuple[int, int, int]:
    """Red, green and blue by how soon the point escapes; black if it does not."""
    z = point
    for step in range(_STEPS):
        x, y = z.real, z.imag
        distance = x * x + y * y
        if distance > _ESCAPED:
            # The part of a step by which it escaped makes the bands of colour flow into each other.
            hue = 0.09 * (step + 1 - math.log2(math.log2(distance) / 2))
            return _wave(hue), _wave(hue + 0.6), _wave(hue + 1.2)
        z = z * z + point
    return 0, 0, 0


def _wave(angle: float) -> int:
    return round(127.5 - 127.5 * math.cos(angle))


def _png(width: int, height: int, rows: Iterator[bytes]) -> bytes:
    # 8 bits for each of red, green and blue; the 0 before a row says that it is not filtered.
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
