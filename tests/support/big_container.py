"""A job of very many tasks on a blob service, made in seconds.

A hundred thousand uploads would take minutes. Instead, one task is stored on an Azurite that keeps its data in files,
and what Azurite has noted down of that task's blobs is multiplied in its own database before it is started again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from batch_outputs import sync
from support.azurite import Container, running_azurite
from support.pictures import png

JOB = "big"
TASKS = 10_000
FRAMES = 6
THUMBNAILS = 2
LOG = b"".join(b"%d: rendered\n" % number for number in range(100))
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
"""When the first task's blobs were changed; each task's were a second after those of the task before."""

_DATABASE = "__azurite_db_blob__.json"
_FIRST = "task-00000"
_NAME, _WHEN, _NUMBER = "@name@", "@when@", "@number@"


@dataclass(frozen=True)
class BigJob:
    """The job's container, and what is in it."""

    container: Container
    tasks: int
    picture: bytes
    """What every frame and every thumbnail holds."""

    @property
    def sums(self) -> dict[str, tuple[int, int, int]]:
        """How many tasks, blobs and bytes there are of each kind."""
        each = {"TaskLog": (2, len(LOG)), "TaskOutput": (FRAMES, len(self.picture))}
        each["TaskPreview"] = (THUMBNAILS, len(self.picture))
        return {
            kind: (self.tasks, self.tasks * count, self.tasks * count * size) for kind, (count, size) in each.items()
        }

    @property
    def blobs(self) -> int:
        """How many there are in all."""
        return sum(count for _, count, _ in self.sums.values())

    @property
    def size(self) -> int:
        """Bytes in all of them."""
        return sum(size for _, _, size in self.sums.values())

    @property
    def pages_asked_for(self) -> int:
        """How many pages of lists its service has been asked for so far."""
        return self.container.azurite.log.read_text().count("comp=list")

    def task(self, number: int) -> str:
        """The id of a task; they sort by number."""
        return task_id(number)


def task_id(number: int) -> str:
    """The id of a task."""
    return f"task-{number:05}"


@contextmanager
def big_job(folder: Path, *, tasks: int = TASKS) -> Iterator[BigJob]:
    """A blob service of its own that holds one job with so many tasks of ten blobs each."""
    location = folder / "data"
    location.mkdir(parents=True)
    picture = png(64, 36)
    with running_azurite(folder / "first.log", location=location) as azurite:
        _store_first_task(azurite.connection_string, picture, folder / "log")
    _multiply(location / _DATABASE, tasks)
    with running_azurite(folder / "second.log", location=location) as azurite:
        yield BigJob(azurite.container(f"job-{JOB}"), tasks, picture)


def _store_first_task(connection_string: str, picture: bytes, log: Path) -> None:
    with sync.JobOutputStorage.from_connection_string(connection_string, JOB) as job:
        job.create_container()
        task = job.task(_FIRST)
        for name in ("stderr.txt", "stdout.txt"):
            log.write_bytes(b"")
            with task.save_tracked("TaskLog", log, name, settle=0):
                log.write_bytes(LOG)
        for number in range(FRAMES):
            task.save_bytes("TaskOutput", picture, f"frame-{number:04}.png")
        for number in range(THUMBNAILS):
            task.save_bytes("TaskPreview", picture, f"thumb-{number:04}.png")


def _multiply(path: Path, tasks: int) -> None:
    database: dict[str, Any] = json.loads(path.read_bytes())
    [blobs] = [found for found in database["collections"] if found["name"] == "$BLOBS_COLLECTION$"]
    templates = [_template(record) for record in sorted(blobs["data"], key=lambda record: str(record["name"]))]
    records: list[str] = []
    for task in range(tasks):
        when = (BEGAN + timedelta(seconds=task)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        records += [
            template.replace(_NAME, task_id(task)).replace(_WHEN, when).replace(f'"{_NUMBER}"', str(len(records) + at))
            for at, template in enumerate(templates, 1)
        ]
    # They stand in the order of their names, which makes every index of the database a plain row of numbers.
    blobs["maxId"] = len(records)
    blobs["idIndex"] = list(range(1, len(records) + 1))
    for index in blobs["binaryIndices"].values():
        index["values"] = list(range(len(records)))
    blobs["data"] = _NUMBER
    text = json.dumps(database).replace(f'"{_NUMBER}"', f"[{','.join(records)}]")
    path.write_text(text)


def _template(record: dict[str, Any]) -> str:
    """A blob's record with marks where it differs from task to task; the content stays where it is."""
    record["$loki"] = _NUMBER
    record["properties"]["lastModified"] = _WHEN
    return json.dumps(record).replace(_FIRST, _NAME)
