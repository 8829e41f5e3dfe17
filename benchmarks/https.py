"""TLS before a service, as it stands before Azure: an nginx that decrypts, and passes on what it gets."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.nginx import COMMON, running_nginx
from support.peers import find
from support.ports import quiet_port

_CONFIGURATION = """\
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 4096; }}
http {{
{common}  upstream service {{
    server 127.0.0.1:{behind};
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} ssl reuseport backlog=1024;
    ssl_certificate {certificate};
    ssl_certificate_key {private};
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Host $http_host;
      proxy_set_header Connection "";
      # As it comes, and never by way of the disk.
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_buffers 16 64k;
      proxy_buffer_size 64k;
    }}
  }}
}}
"""


@contextmanager
def running_https(folder: Path, behind: int, certificate: tuple[Path, Path]) -> Iterator[int]:
    """The port on which https is spoken for the one `behind`, with a certificate and its private key.

    Raises:
        BenchmarkError: nginx is not there, or does not start.
    """
    program = find("nginx")
    if program is None:
        raise BenchmarkError("https is spoken by nginx, which is not installed; on Debian: apt-get install nginx-light")
    folder.mkdir(parents=True, exist_ok=True)
    port = quiet_port()
    text = _CONFIGURATION.format(
        common=COMMON.format(folder=folder),
        folder=folder,
        user="user root;" if os.geteuid() == 0 else "",  # it has to read the key
        behind=behind,
        port=port,
        certificate=certificate[0],
        private=certificate[1],
    )
    with running_nginx(program, folder, text, lambda: socket.create_connection(("127.0.0.1", port), timeout=1).close()):
        yield port
