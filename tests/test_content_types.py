"""Content types follow from names, the same on every machine."""

from __future__ import annotations

import mimetypes

import pytest

from batch_outputs.content_types import guess_content_type

TABLE = [
    ("frame.png", "image/png"),
    ("FRAME.PNG", "image/png"),
    ("a/b.c/photo.jpeg", "image/jpeg"),
    ("a.gif", "image/gif"),
    ("stdout.txt", "text/plain"),
    ("stdout.log", "text/plain"),
    ("x.err", "text/plain"),
    ("x.out", "text/plain"),
    ("stdout.part-2.txt", "text/plain"),
    ("report.html", "text/html"),
    ("table.csv", "text/csv"),
    ("a.json", "application/json"),
    ("a.jsonl", "application/jsonl"),
    ("a.yaml", "application/yaml"),
    ("a.yml", "application/yaml"),
    ("a.md", "text/markdown"),
    ("a.webp", "image/webp"),
    ("a.svg", "image/svg+xml"),
    ("a.mp4", "video/mp4"),
    ("a.parquet", "application/vnd.apache.parquet"),
    ("a.mkv", "video/matroska"),
    ("a.xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    ("a.js", "text/javascript"),
    ("a.tar.gz", "application/gzip"),
    ("a.txt.gz", "application/gzip"),
    ("a.tgz", "application/gzip"),
    ("a.bz2", "application/x-bzip2"),
    ("a.xz", "application/x-xz"),
    ("a.txt.br", "application/octet-stream"),
    ("a.Z", "application/x-compress"),
    ("a", "application/octet-stream"),
    ("a.unheardof", "application/octet-stream"),
    (".png", "application/octet-stream"),
    ("..png", "application/octet-stream"),
    ("a.", "application/octet-stream"),
    ("a.png/b", "application/octet-stream"),
    ("", "application/octet-stream"),
    # A name is no URL, whatever it looks like.
    ("data:text/html,x.png", "image/png"),
    ("data:x.png", "image/png"),
    ("http:frame.png?x.txt", "text/plain"),
    ("a:b?c#d.png", "image/png"),
]


@pytest.mark.parametrize(("name", "content_type"), TABLE)
def test_follows_the_table(name: str, content_type: str) -> None:
    """The extension decides, in any case; what is compressed is that."""
    assert guess_content_type(name) == content_type


def test_agrees_with_python() -> None:
    """Of all that Python has known for long the same is said, but for scripts, which got another type in 2022."""
    table = mimetypes.MimeTypes().types_map[True]
    ours = {extension: guess_content_type(f"x{extension}") for extension in table}
    unknown = {extension for extension in table if ours[extension] == "application/octet-stream"}
    differs = {extension for extension in table if ours[extension] != table[extension]}
    assert len(table) - len(unknown) > 130
    assert differs <= unknown | {".js", ".mjs"}


def test_does_not_ask_the_machine() -> None:
    """What a machine or program adds to Python's own table changes nothing that is stored."""
    mimetypes.init()
    mimetypes.add_type("application/x-odd", ".unheardof")
    try:
        assert guess_content_type("a.unheardof") == "application/octet-stream"
    finally:
        mimetypes.init()
