"""An nginx that runs for as long as it is needed, with all that it writes in one folder."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.errors import BenchmarkError

COMMON = """\
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
"""
"""What every server of ours has in its http block; `folder` is to be filled in."""

_START_TIMEOUT = 20.0


@contextmanager
def running_nginx(
    program: str,
    folder: Path,
    configuration: str,
    ask: Callable[[], object],
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run it until the end of the block; it is ready when `ask` raises no OSError any more.

    Raises:
        BenchmarkError: it does not start.
    """
    (folder / "nginx.conf").write_text(configuration)
    command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder), "-e", str(folder / "error.log")]
    with ExitStack() as stack:
        output = stack.enter_context((folder / "output").open("wb"))
        server = stack.enter_context(
            subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(variables or {})}
            )
        )
        stack.callback(server.send_signal, signal.SIGTERM)
        _wait_until_ready(ask, server, folder)
        yield


def _wait_until_ready(ask: Callable[[], object], server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while server.poll() is None and time.monotonic() < deadline:
        try:
            ask()
        except OSError:
            time.sleep(0.02)  # it gives no other sign of being ready
        else:
            return
    said = "".join((folder / name).read_text() for name in ("output", "error.log") if (folder / name).exists())
    raise BenchmarkError(f"nginx did not start; it said: {said.strip() or 'nothing'}")
