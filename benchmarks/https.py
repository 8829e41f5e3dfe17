"""TLS before a service, as it stands before Azure: an nginx that decrypts, and passes on what it gets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError
from support.peers import find
from support.ports import quiet_port

_START_TIMEOUT = 20.0
_CONFIGURATION = """\
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log warn;
{user}
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  client_max_body_size 0;
  client_header_buffer_size 8k;
  large_client_header_buffers 8 64k;
  keepalive_requests 1000000000;
  keepalive_timeout 600;
  keepalive_time 1d;
  upstream service {{
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
        folder=folder,
        user="user root;" if os.geteuid() == 0 else "",  # it has to read the key
        behind=behind,
        port=port,
        certificate=certificate[0],
        private=certificate[1],
    )
    (folder / "nginx.conf").write_text(text)
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    with ExitStack() as stack:
        output = stack.enter_context((folder / "output").open("wb"))
        server = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603
        )
        stack.callback(server.send_signal, signal.SIGTERM)
        _wait_until_ready(port, server, folder / "output")
        yield port


def _wait_until_ready(port: int, server: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.02)  # it gives no other sign of being ready
        else:
            return
    raise BenchmarkError(f"nginx did not speak https; it said: {output.read_text().strip() or 'nothing'}")
