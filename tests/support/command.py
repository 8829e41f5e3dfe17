"""The command `batch-outputs` as a child process, in a clean folder, with an environment that holds nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

BATCH_OUTPUTS = (sys.executable, "-m", "batch_outputs")
TIMEOUT = 120.0
OURS = re.compile(rb"^batch-outputs: .*\n", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code and what it wrote."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.stdout.decode()

    @property
    def err(self) -> str:
        """Standard error as text."""
        return self.stderr.decode()

    @property
    def sentences(self) -> list[str]:
        """What the command said, one sentence a line, without its name before it."""
        return [line.removeprefix("batch-outputs: ") for line in self.err.splitlines()]

    @property
    def summary(self) -> str:
        """The last thing that the command said, without its times."""
        return re.sub(r" (?:in|after) \d+\.\d s", "", self.sentences[-1])

    @property
    def objects(self) -> list[dict[str, Any]]:
        """The objects of `--json`."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def of_program(self) -> bytes:
        """Standard error without what is ours."""
        return OURS.sub(b"", self.stderr)


@dataclass
class Desk:
    """A folder to work in and the variables that are set; `secrets` may stand in no output of any command."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    def run(
        self, *arguments: str, code: int | None = 0, stdin: bytes = b"", variables: Mapping[str, str] | None = None
    ) -> Done:
        """Run the command to its end; `code` is the exit code that it must have, None for any."""
        child = subprocess.run(
            [*BATCH_OUTPUTS, *arguments],
            input=stdin,
            capture_output=True,
            cwd=self.folder,
            env=self.environment(variables),
            timeout=TIMEOUT,
            check=False,
        )
        return self.checked(Done(child.returncode, child.stdout, child.stderr), code)

    def shell(self, line: str, code: int | None = 0) -> Done:
        """Run a line of a shell that finds `batch-outputs` on its PATH."""
        child = subprocess.run(
            ["sh", "-c", line],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self.folder,
            env=self.environment(),
            timeout=TIMEOUT,
            check=False,
        )
        return self.checked(Done(child.returncode, child.stdout, child.stderr), code)

    @contextmanager
    def started(
        self,
        *arguments: str,
        stdin: int = subprocess.PIPE,
        stdout: int = subprocess.PIPE,
        stderr: int = subprocess.PIPE,
        terminal: bool = False,
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The command under way; killed if it is still there at the end.

        With `terminal` its standard input is one, and it controls the command's session.
        """
        with subprocess.Popen(
            [*BATCH_OUTPUTS, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            cwd=self.folder,
            env=self.environment(),
            start_new_session=terminal,
            preexec_fn=_take_terminal if terminal else None,  # noqa: PLW1509 - it only makes one system call
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    def ended(self, child: subprocess.Popen[bytes], code: int | None = 0) -> Done:
        """Wait for a command that was `started`."""
        out, err = child.communicate(timeout=TIMEOUT)
        return self.checked(Done(child.returncode, out or b"", err or b""), code)

    def environment(self, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """The child's whole environment: nothing of this machine's Azure or Batch."""
        kept = {name: os.environ[name] for name in ("SYSTEMROOT", "COVERAGE_PROCESS_START") if name in os.environ}
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
        own = {"PATH": path, "HOME": str(self.folder), "LC_ALL": "C.UTF-8", "TMPDIR": str(self.folder.parent)}
        return {**kept, **own, **self.variables, **(variables or {})}

    def checked(self, done: Done, code: int | None) -> Done:
        """What holds for every command: the code that was expected, no traceback, no secret."""
        everything = done.stdout + done.stderr
        assert code is None or done.code == code, f"ended with {done.code}:\n{everything.decode(errors='replace')}"
        assert b"Traceback" not in done.stderr, done.err
        assert b"nobody expected" not in done.stderr, done.err
        for secret in self.secrets:
            once = quote(secret, safe="")
            for form in (secret, once, quote(once, safe="")):
                assert form.encode() not in everything, f"a secret in:\n{everything.decode(errors='replace')}"
        return done

    def outputs(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """What `list --json` shows, by blob name."""
        return {record["blob"]: record for record in self.run("list", "--json", *arguments).objects}

    def write(self, path: str, content: bytes | str = b"") -> Path:
        """Make a file in the folder."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    @property
    def everything(self) -> set[str]:
        """All files in the folder, relative to it."""
        return {path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*") if not path.is_dir()}


def signature(sas_url: str) -> str:
    """The secret part of a URL with a SAS."""
    return parse_qs(urlsplit(sas_url).query)["sig"][0]


def wait_until(condition: Callable[[], object], timeout: float = TIMEOUT) -> None:
    """Wait for something that another process brings about and of which nothing tells us."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
