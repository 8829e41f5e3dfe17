"""A small job with outputs of several tasks and kinds, in which names and kinds resemble one another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from batch_outputs import JobOutputStorage

STORED = {
    ("t1", "TaskLog", "stdout.txt"),
    ("t1", "TaskOutput", "frames/1.png"),
    ("t1", "TaskOutput", "frames/deep/2.png"),
    ("t1", "TaskOutputRaw", "frames/1.png"),
    ("t10", "TaskOutput", "frames/1.png"),
    (None, "JobOutput", "summary.json"),
    (None, "JobOutput", "stdout.txt"),
}


@asynccontextmanager
async def small_job(folder: Path) -> AsyncIterator[JobOutputStorage]:
    """The job, stored in a folder."""
    async with JobOutputStorage.from_container_url((folder / "job-x").as_uri()) as storage:
        await storage.create_container()
        for task, kind, name in STORED:
            owner = storage if task is None else storage.task(task)
            await owner.save_bytes(kind, b"x", name)
        yield storage
