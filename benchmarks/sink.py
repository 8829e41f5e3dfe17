"""A server that takes every request as Blob Storage would and keeps no content, so that only the client counts.

It is nginx with Lua (`sink.lua`): it reads the whole body into memory, answers at once, and counts requests and bytes.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from benchmarks.errors import BenchmarkError
from benchmarks.nginx import COMMON, running_nginx
from support.azurite import ACCOUNT
from support.peers import find

CHECKED = "check-"
"""Containers whose names begin so have the checksums of all bodies kept."""

_HERE = Path(__file__).parent
_MODULES = Path("/usr/lib/nginx/modules")
_ON_DEBIAN = "apt-get install nginx-light libnginx-mod-http-lua"
_CONFIGURATION = """\
load_module {modules}/ndk_http_module.so;
load_module {modules}/ngx_http_lua_module.so;
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 4096; }}
http {{
{common}  # As much as a request brings is reserved, not all of this.
  client_body_buffer_size 300m;
  client_body_in_single_buffer on;
  tcp_nodelay on;
  lua_shared_dict counts 1m;
  lua_shared_dict sizes 64m;
  lua_shared_dict pending 8m;
  lua_package_path "{code}/?.lua;;";
  init_by_lua_block {{
    sink = require("sink")
    sink.checksums = "{folder}/checksums"
  }}
  server {{
    # With a queue of its own each worker gets its share of the connections.
    listen 127.0.0.1:{port} reuseport backlog=1024;
    location = /counts {{ content_by_lua_block {{ sink.tell() }} }}
    location = /counts/reset {{ content_by_lua_block {{ sink.reset() }} }}
    location / {{ content_by_lua_block {{ sink.serve() }} }}
  }}
}}
"""
# Memory of bodies is used again instead of being handed back and asked for anew with each request.
_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 34), "MALLOC_TOP_PAD_": str(1 << 26)}


@dataclass(frozen=True)
class Counts:
    """What the sink has had since the last reset."""

    requests: dict[str, int]
    """By method and operation, such as `PUT` and `PUT block`."""

    sent: int
    """Bytes of all requests with their heads."""

    stored: int
    """Bytes of the bodies that were content: no lists of blocks."""

    @property
    def total(self) -> int:
        """All requests."""
        return sum(self.requests.values())


@dataclass
class _Upload:
    """What came for one name."""

    blocks: dict[str, tuple[int, str]] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    whole: tuple[int, str] | None = None
    appended: list[tuple[int, str]] = field(default_factory=list)

    @property
    def pieces(self) -> list[tuple[int, str]]:
        """Length and MD5 of each piece of the content, in order."""
        if self.order:
            return [self.blocks[block] for block in self.order if block in self.blocks]
        return self.appended or ([self.whole] if self.whole else [])


@dataclass(frozen=True)
class Sink:
    """A running server."""

    port: int
    folder: Path

    @property
    def endpoint(self) -> str:
        """The account's blob endpoint, by address."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    def counts(self) -> Counts:
        """What has come until now."""
        told = dict(line.split("\t") for line in self._get("/counts").splitlines())
        numbers = {name: int(number) for name, number in told.items()}
        numbers.pop("etag", None)
        sent, stored = numbers.pop("sent", 0), numbers.pop("stored", 0)
        return Counts(numbers, sent, stored)

    def reset(self) -> None:
        """Count from nothing, and forget the checksums."""
        self._get("/counts/reset")
        self._checksums.unlink(missing_ok=True)

    def wrong(self, files: Mapping[str, Path]) -> list[str]:
        """The names of which other bytes came than are in their files, or none, or of which there is no file."""
        uploads = self._uploads()
        wrong = [name for name in uploads if name not in files]
        for name, path in files.items():
            if name not in uploads or not _is_content_of(uploads[name].pieces, path):
                wrong.append(name)
        return sorted(wrong)

    @property
    def _checksums(self) -> Path:
        return self.folder / "checksums"

    def _uploads(self) -> dict[str, _Upload]:
        uploads: dict[str, _Upload] = {}
        text = self._checksums.read_text() if self._checksums.exists() else ""
        for line in text.splitlines():
            operation, path, block, length, told = line.split("\t")
            name = path.removeprefix(f"/{ACCOUNT}/").partition("/")[2]
            upload = uploads.setdefault(name, _Upload())
            if operation == "blocklist":
                found = base64.b64decode(told).decode()
                upload.order = re.findall(r"<(?:Latest|Uncommitted|Committed)>([^<]+)</", found)
            elif operation == "block":
                upload.blocks[unquote(block)] = (int(length), told)
            elif operation == "appendblock":
                upload.appended.append((int(length), told))
            else:
                upload.whole = (int(length), told)
        return uploads

    def _get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.read().decode()
        finally:
            connection.close()


def _is_content_of(pieces: list[tuple[int, str]], path: Path) -> bool:
    if sum(length for length, _ in pieces) != path.stat().st_size or not pieces:
        return False
    with path.open("rb") as file:
        return all(hashlib.md5(file.read(length), usedforsecurity=False).hexdigest() == md5 for length, md5 in pieces)


@contextmanager
def running_sink(folder: Path) -> Iterator[Sink]:
    """Start the server on a free port, and stop it at the end.

    Raises:
        BenchmarkError: nginx or its Lua is not there, or does not start.
    """
    program = find("nginx")
    if program is None or not (_MODULES / "ngx_http_lua_module.so").exists():
        raise BenchmarkError(f"The sink is nginx with its Lua module, which is not installed; on Debian: {_ON_DEBIAN}.")
    code = folder / "code"
    code.mkdir(parents=True)
    # The workers are nobody's when root starts them, and then can read only what all may.
    shutil.copy(_HERE / "sink.lua", code)
    port = _free_port()
    user = f"user {_user_name()};" if os.geteuid() == 0 else ""
    text = _CONFIGURATION.format(
        common=COMMON.format(folder=folder), modules=_MODULES, folder=folder, code=code, port=port, user=user
    )
    sink = Sink(port, folder)
    with running_nginx(program, folder, text, sink.counts, _MEMORY):
        yield sink


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _user_name() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name
