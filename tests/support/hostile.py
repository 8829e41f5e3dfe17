"""What a task could store to do harm to those who look at it: names, and contents.

Every name must be listed, opened, downloaded and archived, and never lead out of the folder that it is meant for.
Every content must be shown or kept as what it is, and none of it may run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from batch_outputs.location import StoreLocation
from batch_outputs.stores import open_store

PREFIX = "t1/$TaskOutput/"

NAMES = {
    "dot dot": "../up.txt",
    "far dot dot": "../../../../../../../../tmp/batch-outputs-was-here.txt",
    "dots in the middle": "a/../../b.txt",
    "dot dot at the end": "c/..",
    "three dots": "...",
    "one dot at the end": "c2/.",
    "one dot": "d/./e.txt",
    "absolute": "/etc/batch-outputs-was-here.txt",
    "two slashes": "//server/share.txt",
    "empty segment": "f//g.txt",
    "ends in a slash": "h/",
    "drive": "C:/Windows/i.txt",
    "relative to a drive": "C:j.txt",
    "stream of a file": "k.txt:hidden",
    "reserved": "con",
    "reserved with an extension": "l/NUL.txt",
    "reserved far down": "aux/com1/lpt9.log",
    "ends in dots": "m...",
    "ends in a space": "n.txt ",
    "encoded dots": "%2e%2e%2fo.txt",
    "encoded twice": "%252e%252e%252fp.txt",
    "encoded slash": "q%2fr.txt",
    "encoded NUL": "s%00.txt",
    "home": "~/.ssh/authorized_keys",
    "option": "--help",
    "substitution": "$(touch owned);`touch owned`&&touch owned|x",
    "markup": "<img src=x onerror=\"document.title='owned'\">.txt",
    "end of a script": "</script><script>document.title='owned'</script>.txt",
    "end of an attribute": "\"><svg onload=document.title='owned'>.txt",
    "single quotes": "' onmouseover='document.title=1.txt",
    "template": "{{7*7}}{% raw %}${7*7}.txt",
    "header": "u\nSet-Cookie: owned=1\n.txt",
    "tab": "v\tw.txt",
    "right to left": "photo\u202egnp.exe",
    "isolates": "\u2066x\u2069\u200f.txt",
    "zero width": "\u200bdata.txt",
    "line separator": "y\u2028z.txt",
    "quotes": 'say "hi"; filename=evil.exe',
    "query": "a?b=c&d#e+f",
    "not ASCII": "Größe 漢字 😀.txt",
    "upper case": "README.txt",
    "lower case": "readme.txt",
    "composed": "caf\u00e9.txt",
    "decomposed": "cafe\u0301.txt",
    "long segment": "L" * 700 + ".txt",
    "long segment, not ASCII": "漢" * 250 + ".txt",
    "long segments that begin alike": "L" * 700 + "2.txt",
    "already shortened": "M" * 200 + "%~0123456789abcdef.txt",
    "as long as can be": "x" * (1024 - len(PREFIX)),
    "as deep as can be": "/".join("d" * ((1024 - len(PREFIX)) // 2)),
}
"""What an output can be called on a blob service and in a folder."""

NAMES_IN_FOLDERS = {
    "backslashes": "..\\..\\up2.txt",
    "drive with backslashes": "C:\\Windows\\i2.txt",
    "network path": "\\\\server\\share\\j2.txt",
    "NUL": "k2\x00.txt",
    "carriage return": "l2\r\nSet-Cookie: owned=1",
    "escape": "\x1b]0;owned\x07\x1b[31mred.txt",
    "C1 control": "m2\x9b31m.txt",
}
"""What only a folder can hold: a blob service makes slashes of backslashes, or does not list them."""

_RUN = "document.title='owned';fetch('CANARY/fetched');new Image().src='CANARY/image';top.location='CANARY/top'"

CONTENTS: Mapping[str, tuple[str, str]] = {
    "page.html": ("text/html", f"<!doctype html><title>x</title><h1>Hi</h1><script>{_RUN}</script>"),
    "handlers.html": (
        "text/html",
        (
            f'<body onload="{_RUN}"><img src=x onerror="{_RUN}"><img src="CANARY/img">'
            '<iframe src="CANARY/frame"></iframe>'
            '<link rel=stylesheet href="CANARY/style"><meta http-equiv=refresh content="0;url=CANARY/refresh">'
            "<form action=CANARY/form><button autofocus>x</button></form>"
        ),
    ),
    "page.xhtml": (
        "application/xhtml+xml",
        f'<html xmlns="http://www.w3.org/1999/xhtml"><body><script>{_RUN}</script></body></html>',
    ),
    "style.xml": (
        "text/xml",
        (
            '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="CANARY/xsl"?><!DOCTYPE x [<!ENTITY e SYSTEM '
            '"CANARY/entity">]><x>&e;</x>'
        ),
    ),
    "picture.svg": (
        "image/svg+xml",
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30" onload="{_RUN}"><script>{_RUN}</script>'
            '<rect width="40" height="30" fill="teal"/><image href="CANARY/svg-image" width="9" height="9"/>'
            f'<foreignObject><body xmlns="http://www.w3.org/1999/xhtml"><iframe src="CANARY/svg-frame"/></body>'
            "</foreignObject></svg>"
        ),
    ),
    "script.js": ("text/javascript", _RUN),
    "module.mjs": ("text/javascript", f"{_RUN};export default 1"),
    "styles.css": ("text/css", "@import url(CANARY/import); body { background: url(CANARY/background) }"),
    "data.json": ("application/json", '{"</script><script>": "<img src=x onerror=\\"document.title=\'owned\'\\">"}'),
    "table.csv": (
        "text/csv",
        'name,value\n"<script>document.title=\'owned\'</script>",=HYPERLINK("CANARY/formula")\n<b>x</b>,1\n',
    ),
    "readme.md": ("text/markdown", f"# Hi\n\n<script>{_RUN}</script>\n![x](CANARY/markdown)\n"),
    "log.txt": ("text/plain", f"</pre></main><script>{_RUN}</script>\n\x1b[31mred\x1b[0m \x1b]0;owned\x07\x9b2J\n"),
    "not-a-picture.png": ("image/png", f"<html><script>{_RUN}</script>"),
    "no-type": ("", f"<html><script>{_RUN}</script>"),
    "liar.txt": ("text/html; charset=utf-7", f"+ADw-script+AD4-{_RUN}+ADw-/script+AD4-"),
    "broken-type.bin": ("text/html\tx", f"<script>{_RUN}</script>"),
    "worker.appcache": ("text/cache-manifest", "CACHE MANIFEST\nCANARY/cache\n"),
    "page.mht": ("multipart/related", f"From: x\nContent-Type: text/html\n\n<script>{_RUN}</script>"),
}
"""Content by name, with the type that it claims; `CANARY` is to become an address that nobody may ask."""


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_MISLEADING = re.compile(r"[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_ON_WINDOWS = re.compile(r'[<>:"|?*\\]|[. ]$')
_DEVICE = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9]) *(\.|$)")


def harm_of(path: str) -> str | None:
    """What is wrong with a relative path that is to be written on any system; None if nothing is."""
    for segment in path.split("/"):
        if segment in {"", ".", ".."}:
            return f"{segment!r} is a step"
        if found := _CONTROLS.search(segment) or _MISLEADING.search(segment) or _ON_WINDOWS.search(segment):
            return f"{found.group()!r} in a name"
        if _DEVICE.match(segment):
            return f"{segment!r} is a device"
        if len(segment.encode()) > 255:
            return f"a name of {len(segment.encode())} bytes"
    return None


def plant(location: StoreLocation, blobs: Mapping[str, tuple[str, bytes]]) -> None:
    """Store blobs under these very names, with their types: a task can write them without our library."""

    async def put() -> None:
        store = open_store(location)
        try:
            for name, (content_type, content) in blobs.items():
                await store.put(name, content, content_type=content_type or None)
        finally:
            await store.aclose()

    # In a thread of its own: the caller may be inside an event loop, such as that of the browser's driver.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, put()).result()


class Canary:
    """A server that nobody is to ask."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []
        """What it was asked all the same."""


@contextmanager
def listening_canary() -> Iterator[Canary]:
    """A canary on this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            canary.asked.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        do_POST = do_GET  # noqa: N815 - the name is the base class's

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        canary = Canary(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield canary
        finally:
            server.shutdown()
            thread.join()
