"""Outputs of all sorts, as a studio that renders pictures would have them, and the page that shows them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.names import job_container_name
from support.command import Desk
from support.page import Page, serving
from support.pictures import pdf, png, wav

JOB = "render-2026"
BIG_LINES = 20_000


@dataclass(frozen=True)
class Studio:
    """A page over the outputs of a job of many tasks, of which `t1` has some of every kind; only to be looked at."""

    page: Page
    desk: Desk
    job: sync.JobOutputStorage
    files: dict[str, bytes]
    """What the task's saved output files hold."""

    @property
    def container(self) -> str:
        """The job's container."""
        return job_container_name(JOB)

    def file(self, name: str, kind: str = "TaskOutput") -> str:
        """The address of the page of one of the task's files."""
        return self.page.origin + addresses.file(self.container, f"t1/${kind}/{name}")

    @property
    def addresses(self) -> dict[str, str]:
        """A page of each sort, and those of all files but the big one."""
        return {**self.pages, **{name: self.file(name) for name in self.files if name != "big.txt"}}

    @property
    def pages(self) -> dict[str, str]:
        """A page of each sort."""
        paths = {
            "jobs": addresses.JOBS,
            "job": addresses.job(self.container),
            "no task found": addresses.job(self.container, q="none-like-this"),
            "tasks sorted": addresses.job(self.container, sort="size"),
            "task": addresses.task(self.container, "t1"),
            "kind": addresses.kind(self.container, "t1", "TaskOutput"),
            "previews": addresses.kind(self.container, "t1", "TaskPreview"),
            "complete log": addresses.file(self.container, "t1/$TaskLog/stdout.txt"),
            "growing log": addresses.file(self.container, "t1/$TaskLog/progress.log"),
            "failed log": addresses.file(self.container, "t2/$TaskLog/stderr.txt"),
            "middle of a text": addresses.file(self.container, "t1/$TaskOutput/big.txt", offset=1_500_000),
            "search": addresses.search(self.container, "t1/$TaskOutput/big.txt", q="line 4321"),
            "error": addresses.task(self.container, "no-such-task"),
        }
        return {name: self.page.origin + path for name, path in paths.items()}


@contextmanager
def running_studio(folder: Path) -> Iterator[Studio]:
    """Fill a folder and serve it."""
    desk = Desk(folder / "desk")
    desk.folder.mkdir()
    root = desk.folder / "batch-outputs"
    files = {
        "frames/0001.png": png(320, 180, seed=1),
        "frames/0002.png": png(180, 320, seed=2),
        "table.csv": b"name,value,remark\n" + b"".join(b"row %d,%d.5,\n" % (n, n) for n in range(50)),
        "result.json": b'{"job": "render-2026", "frames": [1, 2, {"deep": [true, null]}], "ok": true, "n": 1.5}',
        "notes.txt": "Größe: 漢字 😀\nsecond line\n".encode(),
        "a rather long name without any place to break it at ".replace(" ", "_") * 3 + ".dat": bytes(range(256)) * 40,
        "sound.wav": wav(),
        "paper.pdf": pdf("Hello from a task"),
        "big.txt": b"".join(b"line %d of a long text%s\n" % (n, b" of many words" * 11) for n in range(BIG_LINES)),
        "empty.txt": b"",
    }
    with (
        sync.JobOutputStorage.from_account_url(root.as_uri(), JOB) as job,
        sync.JobOutputStorage.from_account_url(root.as_uri(), "train-2025") as other,
    ):
        for one in (other, job):
            one.create_container()
        _fill(job, files, desk)
        with _growing(job, desk.folder / "progress.log"), serving(desk) as page:
            yield Studio(page, desk, job, files)


def _fill(job: sync.JobOutputStorage, files: dict[str, bytes], desk: Desk) -> None:
    task = job.task("t1")
    for name, content in files.items():
        task.save_bytes("TaskOutput", content, name)
    for number in range(5):
        task.save_bytes("TaskPreview", png(160, 90, seed=number), f"thumb-{number}.png")
    task.save_text("Thumbnails", "of a custom kind", "x.txt")
    job.save_text("JobOutput", "all of it", "summary.txt")
    job.save_bytes("JobPreview", png(160, 90), "poster.png")
    for number in range(3, 130):
        job.task(f"t{number}").save_text("TaskOutput", str(number), "x.txt")
    for name, script in {"t1": "echo begin; echo end", "t2": "echo out; echo 'it failed' >&2; exit 3"}.items():
        desk.run("run", "--job", JOB, "--task", name, "--", "sh", "-c", script, code=None)


@contextmanager
def _growing(job: sync.JobOutputStorage, path: Path) -> Iterator[None]:
    path.write_bytes(b"step 1\nstep 2\n")
    with job.task("t1").save_tracked("TaskLog", path, "progress.log", flush_interval=600) as tracked:
        tracked.flush()
        yield
