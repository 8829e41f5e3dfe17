"""Keeps logs stored with azure-storage-blob's asyncio client as its documentation shows append blobs, a loop for each.

`sdk_append.py INTERVAL PID FILE...`: until the process has ended, or SIGTERM; the container's URL is in CONTAINER_URL.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from azure.storage.blob.aio import ContainerClient

MOST = 4 * 1024 * 1024
"""Bytes of one append, the most that every version of the service takes."""


def has_ended(pid: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def keep(container: ContainerClient, path: str, interval: float, end: asyncio.Event) -> None:
    """Append what is new, at each interval and in the end."""
    blob = container.get_blob_client(os.path.basename(path))
    await blob.create_append_blob()
    with open(path, "rb") as file:  # noqa: ASYNC230 - as its documentation does
        ending = False
        while not ending:
            ending = end.is_set()
            while data := file.read(MOST):
                await blob.append_block(data)
            if not ending:
                try:
                    await asyncio.wait_for(end.wait(), interval)
                except TimeoutError:
                    continue


async def main() -> None:
    """Keep all files."""
    interval, pid, paths = float(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
    async with ContainerClient.from_container_url(os.environ["CONTAINER_URL"]) as container:
        kept = asyncio.gather(*(keep(container, path, interval, end) for path in paths))
        while pid and not end.is_set():
            if has_ended(pid):
                end.set()
            else:
                await asyncio.sleep(0.2)
        await kept


asyncio.run(main())
