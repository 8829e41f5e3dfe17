"""The task behind those of the frames: it joins what they have stored, once fetched, to a moving picture (APNG)."""

from __future__ import annotations

import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

_BEGINNING = b"\x89PNG\r\n\x1a\n"
_PER_SECOND = 5


def main() -> None:
    """Join the pictures below frames/, in the order of their names, to movie.png."""
    frames = sorted(Path("frames").rglob("frame-*.png"), key=lambda path: path.name)
    if not frames:
        sys.exit("There are no frames to join.")
    Path("movie.png").write_bytes(animated([path.read_bytes() for path in frames]))
    print(f"{len(frames)} frames are joined")


def animated(pictures: list[bytes]) -> bytes:
    """Pictures of one size as one that moves, for ever."""
    header = next(data for kind, data in chunks(pictures[0]) if kind == b"IHDR")
    made = [_BEGINNING, chunk(b"IHDR", header), chunk(b"acTL", struct.pack(">II", len(pictures), 0))]
    count = 0
    for number, picture in enumerate(pictures):
        size, place, time = header[:8], struct.pack(">II", 0, 0), struct.pack(">HHBB", 1, _PER_SECOND, 0, 0)
        made.append(chunk(b"fcTL", struct.pack(">I", count) + size + place + time))
        count += 1
        for data in (data for kind, data in chunks(picture) if kind == b"IDAT"):
            if number == 0:
                made.append(chunk(b"IDAT", data))  # what programs show that know nothing of moving pictures
            else:
                made.append(chunk(b"fdAT", struct.pack(">I", count) + data))
                count += 1
    return b"".join([*made, chunk(b"IEND", b"")])


def chunks(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG, by kind."""
    offset = len(_BEGINNING)
    while offset < len(picture):
        (length,) = struct.unpack_from(">I", picture, offset)
        yield picture[offset + 4 : offset + 8], picture[offset + 8 : offset + 8 + length]
        offset += 12 + length


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


if __name__ == "__main__":
    main()
