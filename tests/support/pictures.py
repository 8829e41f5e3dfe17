"""Pictures, sounds and films for tests, made of nothing."""

from __future__ import annotations

import io
import math
import struct
import subprocess
import wave
import zlib
from pathlib import Path

from support.peers import program


def png(width: int, height: int, *, seed: int = 0) -> bytes:
    """A PNG picture: a gradient, of another colour for each seed."""
    tint = (seed * 73) % 256
    rows = b"".join(
        b"\0" + b"".join(bytes((x * 255 // width, y * 255 // height, tint)) for x in range(width))
        for y in range(height)
    )

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(seconds: float = 1.0, *, pitch: float = 440.0) -> bytes:
    """A tone."""
    rate = 8000
    target = io.BytesIO()
    with wave.open(target, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(rate)
        samples = (int(9000 * math.sin(2 * math.pi * pitch * at / rate)) for at in range(int(seconds * rate)))
        sound.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return target.getvalue()


def webm(path: Path, *, seconds: float = 1.0) -> bytes:
    """A film, made at `path` by ffmpeg; for tests that are marked with `needs("ffmpeg")`."""
    source = f"testsrc=size=160x90:rate=10:duration={seconds}"
    command = [program("ffmpeg"), "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "libvpx", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path.read_bytes()


def pdf(text: str, *, action: str = "") -> bytes:
    """A document of one page with one line, and perhaps an action that it is to begin with, in PDF's own words."""
    drawing = f"BT /F1 24 Tf 40 90 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R %s >>" % (b"/OpenAction << %s >>" % action.encode() if action else b""),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 /MediaBox [0 0 400 200] >>",
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    document, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n"
    return document + end % (len(objects) + 1, table, len(objects) + 1, len(document))
