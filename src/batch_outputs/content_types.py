"""The content type of an output, guessed from its name: the same on every machine."""

from __future__ import annotations

import mimetypes

# Python's own table only: what a machine's /etc/mime.types says must not change what is stored.
_TABLE = mimetypes.MimeTypes()
for _extension, _type in {
    ".log": "text/plain",
    ".err": "text/plain",
    ".out": "text/plain",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".jsonl": "application/jsonl",
    ".md": "text/markdown",
    ".webp": "image/webp",
    ".parquet": "application/vnd.apache.parquet",
}.items():
    _TABLE.add_type(_type, _extension)

_COMPRESSED = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/octet-stream",
    "compress": "application/x-compress",
}


def guess_content_type(name: str) -> str:
    """The content type for a name; `application/octet-stream` where nothing is known of its extension."""
    # Behind `./` nothing is taken for a URL: `data:x.png` is a picture too.
    guessed, encoding = _TABLE.guess_type("./" + name.rsplit("/", 1)[-1], strict=True)
    if encoding is not None:
        return _COMPRESSED.get(encoding, "application/octet-stream")
    return guessed or "application/octet-stream"
