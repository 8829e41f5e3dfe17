"""`tail` shows the end of an output, and with `-f` all that still comes, at a terminal and in a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio import to_thread

from batch_outputs.settings import find_target
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from support.azurite import Container
from support.command import BATCH_OUTPUTS, TIMEOUT, Desk, wait_until
from support.fault_proxy import FaultProxy
from support.faults import answer_before
from support.growing import lines
from support.log_writer import LogWriter

pytestmark = pytest.mark.anyio

OFTEN = ("--interval", "0.05")
FOLLOW = ("tail", "-f", *OFTEN)
NUMBERS = lines(25)


class Output:
    """What a command under way has written so far, on both streams."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self.out, self.err = bytearray(), bytearray()
        self.child = child
        assert child.stdout is not None
        assert child.stderr is not None
        self._threads = [
            threading.Thread(target=self._read, args=(child.stdout.fileno(), self.out)),
            threading.Thread(target=self._read, args=(child.stderr.fileno(), self.err)),
        ]
        for thread in self._threads:
            thread.start()

    async def wait_for(self, out: bytes) -> None:
        """Wait until this is all that was written to stdout."""
        await to_thread.run_sync(wait_until, lambda: len(self.out) >= len(out) or self.child.poll() is not None)
        assert self.out == out, bytes(self.err)

    async def wait_for_sentence(self, words: str) -> None:
        """Wait until this was said."""
        await to_thread.run_sync(wait_until, lambda: words.encode() in self.err or self.child.poll() is not None)
        assert words.encode() in self.err, (bytes(self.err), bytes(self.out))

    async def end(self, code: int = 0) -> list[str]:
        """Wait for the end; what was said."""
        assert await to_thread.run_sync(lambda: self.child.wait(timeout=TIMEOUT)) == code, bytes(self.err)
        self.join()
        assert b"Traceback" not in self.err
        assert b"sig=" not in self.err
        return [line.removeprefix("batch-outputs: ") for line in self.err.decode().splitlines()]

    def join(self) -> None:
        """Wait until the streams are closed."""
        for thread in self._threads:
            thread.join()

    def _read(self, descriptor: int, into: bytearray) -> None:
        while piece := os.read(descriptor, 65536):
            into += piece


@contextmanager
def following(desk: Desk, *arguments: str) -> Iterator[Output]:
    """`tail -f` under way."""
    with desk.started(*FOLLOW, *arguments) as child:
        output = Output(child)
        try:
            yield output
        finally:
            child.kill()
            output.join()


@pytest.fixture(params=["folder", "azure"])
def place(request: pytest.FixtureRequest, desk: Desk) -> Desk:
    """A desk of task t1 whose outputs are in a folder, and then on a blob service."""
    if request.param == "azure":
        azure: Desk = request.getfixturevalue("azure")
        return azure
    folder = desk.folder / "store" / "job-x"
    folder.mkdir(parents=True)
    desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": folder.as_uri(), "AZ_BATCH_TASK_ID": "t1"}
    return desk


@pytest.fixture
async def store(place: Desk) -> AsyncIterator[Store]:
    """The container of `place`, past the command."""
    opened = open_store(find_target(place.variables).location(None))
    yield opened
    await opened.aclose()


@pytest.fixture
def away(azure: Desk, fault_proxy: FaultProxy) -> Desk:
    """A desk with a blob service behind the fault proxy."""
    url = azure.variables["BATCH_OUTPUTS_CONTAINER_URL"]
    azure.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": fault_proxy.through(url), "BATCH_OUTPUTS_RETRY_SECONDS": "0"}
    return azure


class TestLastLines:
    @pytest.mark.parametrize(
        ("options", "shown"),
        [
            ([], lines(25).splitlines(keepends=True)[-10:]),
            (["-n", "3"], [b"line 22\n", b"line 23\n", b"line 24\n"]),
            (["--lines", "0"], []),
            (["-n", "+24"], [b"line 23\n", b"line 24\n"]),
            (["-n", "+0"], [NUMBERS]),
            (["-n", "+26"], []),
        ],
    )
    def test_table(self, desk: Desk, options: list[str], shown: list[bytes]) -> None:
        """As many lines as are asked for, from the end or from a line on, whether it is followed or not."""
        desk.run("save", "--as", "numbers.txt", "-", stdin=NUMBERS)
        for follow in ([], ["-f"]):
            done = desk.run("tail", *options, *follow, "numbers.txt")
            assert done.stdout == b"".join(shown)
            assert done.err == ""

    @pytest.mark.parametrize("number", ["x", "+", "-3", "²"])
    def test_no_number(self, desk: Desk, number: str) -> None:
        """What is no number of lines is refused."""
        assert "number of lines" in desk.run("tail", "-n", number, "a", code=2).err

    def test_not_there(self, desk: Desk) -> None:
        """Without -f what does not exist is an error, as it is for cat."""
        desk.run("save", "--as", "a.txt", "-")
        assert desk.run("tail", "b.txt", code=125).sentences == desk.run("cat", "b.txt", code=125).sentences
        assert desk.shell("batch-outputs tail a.txt >&-", code=125).sentences == [
            "Standard output is closed; lead it to a file, a pipe or a terminal."
        ]

    async def test_a_log_in_parts(self, place: Desk, store: Store, tmp_path: Path) -> None:
        """The last lines of a log are found across its parts; one that is not complete is not waited for."""
        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.write(b"one\ntwo\nthree\n")
        await writer.turn_page(b"four\n")
        done = place.run("tail", "-n", "2", "log.txt")
        assert (done.out, done.err) == ("three\nfour\n", "")


class TestFollowing:
    async def test_a_run(self, place: Desk) -> None:
        """The log of a program under way is waited for, comes as it grows, and ends by itself with the exit code."""
        program = "import time\nfor n in range(40): print('line', n, flush=True); time.sleep(0.03)\nraise SystemExit(3)"
        with following(place, "stdout.txt") as tail:
            await tail.wait_for_sentence("waiting for it.")
            arguments = ["run", "--flush-interval", "0.2", "--", sys.executable, "-c", program]
            done = await to_thread.run_sync(lambda: place.run(*arguments, code=3))
            [waits, ends] = await tail.end()
        assert tail.out == done.stdout == lines(40)
        assert waits.startswith("there is no stdout.txt of task t1 in ")
        assert ends == "t1/$TaskLog/stdout.txt is complete; its program ended with 3."

    async def test_across_parts(self, place: Desk, store: Store, tmp_path: Path) -> None:
        """Each line comes at once, in the first part and in later ones; at the end that is said."""
        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.write(lines(12))
        with following(place, "-n", "2", "log.txt") as tail:
            shown = b"line 10\nline 11\n"
            await tail.wait_for(shown)
            for text in (b"more\n", b"no line end", b" yet\n"):
                await writer.write(text)
                await tail.wait_for(shown := shown + text)
            await writer.turn_page(b"another part\n")
            await tail.wait_for(shown := shown + b"another part\n")
            await writer.finish()
            assert await tail.end() == ["t1/$TaskLog/log.txt is complete."]
        assert tail.out == shown

    async def test_another_attempt(self, place: Desk, store: Store, tmp_path: Path) -> None:
        """A log that another attempt begins anew is shown from its beginning, and so is one that was deleted."""
        first, second, third = (LogWriter(store, tmp_path / f"{n}.txt") for n in range(3))
        await first.write(lines(20, "first"))
        with following(place, "-n", "1", "log.txt") as tail:
            await tail.wait_for(b"first 19\n")
            await second.write(lines(2, "second"))
            await tail.wait_for(b"first 19\n" + lines(2, "second"))
            await store.delete("t1/$TaskLog/log.txt")
            await tail.wait_for_sentence("waiting for it")
            await third.write(lines(2, "third"))
            await third.finish(0)
            [anew, deleted, ends] = await tail.end()
        assert tail.out == b"first 19\n" + lines(2, "second") + lines(2, "third")
        assert anew.startswith("t1/$TaskLog/log.txt was begun anew")
        assert deleted == "t1/$TaskLog/log.txt was deleted; waiting for it to be begun anew."
        assert ends.endswith("ended with 0.")

    async def test_an_outage(self, away: Desk, fault_proxy: FaultProxy, container: Container, tmp_path: Path) -> None:
        """An outage is told in a sentence, and its end in another; then everything has come, once."""
        direct = open_store(container.location())
        writer = LogWriter(direct, tmp_path / "log.txt")
        await writer.write(lines(3))
        with following(away, "log.txt") as tail:
            await tail.wait_for(writer.text)
            with fault_proxy.down():
                await tail.wait_for_sentence("Following goes on")
                await writer.write(lines(3, "meanwhile"))
            await tail.wait_for(writer.text)
            await writer.turn_page(b"after\n")
            await writer.finish(7)
            [out, back, ends] = await tail.end()
        await direct.aclose()
        assert tail.out == writer.text
        assert out.endswith("Following goes on as soon as there is an answer.")
        assert "refused the connection" in out or "broke" in out
        assert back == "there is an answer again; following goes on."
        assert ends.endswith("is complete; its program ended with 7.")

    def test_no_service_at_all(self, away: Desk, fault_proxy: FaultProxy) -> None:
        """A service that does not answer from the beginning is most likely a wrong address, and an error."""
        with fault_proxy.down():
            done = away.run(*FOLLOW, "log.txt", code=125)
        assert "check host and port" in done.err

    @pytest.mark.parametrize("command", [("cat",), FOLLOW, ("tail",)])
    def test_no_task_is_named(self, desk: Desk, command: tuple[str, ...]) -> None:
        """Without a task what is not the job's is nowhere, so that it is not waited for: a task is to be named."""
        desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = (desk.folder / "job-x").as_uri()
        desk.write("job-x/$JobOutput/sum.txt", "3")
        assert desk.run(*command, "sum.txt").out == "3"
        [sentence] = desk.run(*command, "stdout.txt", code=125).sentences
        assert sentence.startswith(f"There is no output stdout.txt of the job in {desk.folder / 'job-x'}; ")
        assert sentence.endswith("no task is named, so add --task ID, or see what there is with batch-outputs list.")

    async def test_what_is_the_jobs_by_its_name(self, desk: Desk) -> None:
        """A name that says whose output it is is waited for without a task."""
        folder = desk.folder / "job-x"
        desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = folder.as_uri()
        desk.write("job-x/$JobOutput/other")
        for name in ("JobOutput/sum.txt", "t1/$TaskOutput/sum.txt"):
            with following(desk, name) as tail:
                await tail.wait_for_sentence("waiting for it.")
                path = name if "$" in name else f"${name}"
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(b"3")
                await tail.end()
            assert tail.out == b"3"

    async def test_a_container_that_is_deleted(self, desk: Desk, tmp_path: Path) -> None:
        """A log whose whole container goes is waited for like one that is deleted alone."""
        folder = desk.folder / "store" / "job-x"
        folder.mkdir(parents=True)
        desk.variables |= {"BATCH_OUTPUTS_CONTAINER_URL": folder.as_uri(), "AZ_BATCH_TASK_ID": "t1"}
        store = open_store(find_target(desk.variables).location(None))
        await LogWriter(store, tmp_path / "1.txt").write(b"one\n")
        with following(desk, "log.txt") as tail:
            await tail.wait_for(b"one\n")
            folder.rename(desk.folder / "moved")
            await tail.wait_for_sentence("was deleted; waiting for it to be begun anew")
            folder.mkdir()
            second = LogWriter(store, tmp_path / "2.txt")
            await second.write(b"two\n")
            await second.finish()
            await tail.end()
        await store.aclose()
        assert tail.out == b"one\ntwo\n"

    async def test_an_outage_while_the_last_lines_are_looked_for(
        self, away: Desk, fault_proxy: FaultProxy, container: Container, tmp_path: Path
    ) -> None:
        """An outage after the log was found, and before its last lines are, is ridden out, too."""
        direct = open_store(container.location())
        writer = LogWriter(direct, tmp_path / "log.txt")
        await writer.write(lines(20))
        await writer.finish()
        await direct.aclose()
        fault_proxy.fault(answer_before(503), on="read", times=2)
        with following(away, "-n", "1", "log.txt") as tail:
            [out, back, _] = await tail.end()
        assert out.endswith("Following goes on as soon as there is an answer.")
        assert back == "there is an answer again; following goes on."
        assert tail.out == b"line 19\n"

    async def test_ambiguous(self, desk: Desk) -> None:
        """A name that could be two outputs is an error also when it is to be followed."""
        desk.run("save", "--as", "a", "-")
        desk.run("save", "--kind", "TaskLog", "--as", "a", "-")
        assert "write the kind before it" in desk.run(*FOLLOW, "a", code=125).err


@pytest.mark.skipif(sys.platform == "win32", reason="streams and signals of POSIX")
class TestAmongOtherPrograms:
    async def test_at_a_terminal(self, place: Desk, store: Store, tmp_path: Path) -> None:
        """A terminal is shown text and colours as they come, however sequences are cut, and no other control codes."""
        import pty

        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.write(b"plain \x1b[3")
        master, slave = pty.openpty()
        child = _at_terminal(place, slave, *FOLLOW, "log.txt")
        os.close(slave)
        shown = bytearray()
        thread = threading.Thread(target=_read_terminal, args=(master, shown))
        thread.start()
        try:
            await to_thread.run_sync(wait_until, lambda: shown == b"plain ")
            for data, then in [
                (b"1mred", b"plain \x1b[31mred"),
                (b" \x1b]0;title", b"plain \x1b[31mred "),
                (b"\x07\x1b[2J\x1b[Hgr\xc3", b"plain \x1b[31mred gr"),
                (b"\xbcn\n", "plain \x1b[31mred grün\r\n".encode()),
            ]:
                await writer.write(data)
                await to_thread.run_sync(wait_until, lambda then=then: shown == then or child.poll() is not None)
                assert shown == then
            await writer.finish(0)
            assert await to_thread.run_sync(lambda: child.wait(timeout=TIMEOUT)) == 0
        finally:
            child.kill()
            child.wait()
            thread.join()
            os.close(master)
        sentence = b"batch-outputs: t1/$TaskLog/log.txt is complete; its program ended with 0.\r\n"
        assert shown == then + b"\x1b[0m" + sentence

    async def test_ctrl_c(self, place: Desk, store: Store, tmp_path: Path) -> None:
        """Ctrl-C ends it with 130, what has come until then is shown."""
        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.write(b"a line\n")
        with following(place, "log.txt") as tail:
            await tail.wait_for(b"a line\n")
            tail.child.send_signal(signal.SIGINT)
            assert (await tail.end(130))[-1] == "interrupted."

    async def test_reader_that_has_seen_enough(self, place: Desk, store: Store, tmp_path: Path) -> None:
        """When the reader of the pipe goes, it ends with 0 although nothing more comes."""
        writer = LogWriter(store, tmp_path / "log.txt")
        await writer.write(b"ready\nmore\n")
        line = "{ batch-outputs tail -f log.txt; echo $? >code; } | head -1"
        done = await to_thread.run_sync(lambda: place.shell(line))
        assert (done.out, done.err) == ("ready\n", "")
        assert (place.folder / "code").read_text() == "0\n"


def _at_terminal(desk: Desk, slave: int, *arguments: str) -> subprocess.Popen[bytes]:
    command = [*BATCH_OUTPUTS, *arguments]
    return subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, cwd=desk.folder, env=desk.environment())


def _read_terminal(master: int, into: bytearray) -> None:
    try:
        while piece := os.read(master, 65536):
            into += piece
    except OSError:
        pass  # nobody has the other end open any more
