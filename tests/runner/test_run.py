"""The wrapped program runs as it would without the wrapper, and what it writes is kept."""

from __future__ import annotations

import gzip
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.azurite import Container
from support.command import TIMEOUT, Desk, wait_until
from support.peers import needs, program

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")

LOGS = "batch-outputs/job-local/task/$TaskLog"
PYTHON = sys.executable


def log(desk: Desk, name: str = "stdout.txt") -> bytes:
    return (desk.folder / LOGS / name).read_bytes()


@pytest.mark.parametrize("code", [0, 1, 125, 127, 255])
def test_exit_codes(desk: Desk, code: int) -> None:
    """The exit code is the program's own, whatever it is, and stands in the log's metadata."""
    done = desk.run("run", "--", "sh", "-c", f"exit {code}", code=code)
    assert done.summary.endswith(f"the program ended with {code}.")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_death_by_signal(desk: Desk, number: int) -> None:
    """After death by signal n the code is 128 + n."""
    desk.run("run", "--", "sh", "-c", f"ulimit -c 0; kill -{int(number)} $$", code=128 + number)


def test_not_found_and_not_executable(desk: Desk) -> None:
    """127 and 126 as in coreutils, with a sentence, and nothing is stored or left on the disk."""
    desk.write("plain.txt", "no program")
    desk.write("lost.sh", "#!/no/such/interpreter\n").chmod(0o755)
    before = desk.everything
    missing = desk.run("run", "--", "no-such-program", code=127)
    assert missing.sentences == ["no-such-program was not found; check the name, the PATH, and a script's first line."]
    assert "./lost.sh was not found" in desk.run("run", "--", "./lost.sh", code=127).err
    for name in ("./plain.txt", "."):
        assert f"{name} cannot be run: Permission denied; " in desk.run("run", "--", name, code=126).err
    assert desk.everything == before


@pytest.mark.parametrize("separator", [["--"], []])
def test_arguments_are_passed_exactly(desk: Desk, separator: list[str]) -> None:
    """Each argument arrives as it was given: spaces, quotes, wildcards, options of ours, `--`, nothing at all."""
    given = ["a b", "", "'\"", "*", "$HOME", "--save", "--", "-h", "--help", "\n", "Grüße", "\\", "--job=x"]
    show = "import sys; sys.stdout.write('\\0'.join(sys.argv[1:]))"
    assert desk.run("run", *separator, PYTHON, "-c", show, *given).out.split("\0") == given


def test_environment_folder_and_stdin(desk: Desk) -> None:
    """The program has our environment, folder and standard input, unchanged."""
    data = os.urandom(3_000_000)
    done = desk.run("run", "--", "sh", "-c", "cat; pwd >&2; echo $MINE >&2", stdin=data, variables={"MINE": "x"})
    assert done.stdout == data
    assert done.of_program.decode() == f"{desk.folder}\nx\n"
    assert log(desk) == data


def test_bytes_are_exact(desk: Desk) -> None:
    """20 MiB of any bytes, in both streams, come through and are stored without a change, in a second or two."""
    writer = (
        "import os, random; r = random.Random(1); out = r.randbytes(20 << 20); err = r.randbytes(1 << 20)\n"
        "for i in range(20): os.write(1, out[i << 20:][:1 << 20]); os.write(2, err[i * 52429:(i + 1) * 52429])"
    )
    desk.write("writer.py", writer)
    done = desk.run("run", "--", PYTHON, "writer.py")
    numbers = random.Random(1)  # noqa: S311 - not a secret
    out, err = numbers.randbytes(20 << 20), numbers.randbytes(1 << 20)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(out).digest()
    assert hashlib.sha256(log(desk)).digest() == hashlib.sha256(out).digest()
    assert log(desk, "stderr.txt") == err
    begin = done.stderr.index(err[:1024])  # our own lines stand before and behind, or between two of its writes
    assert len(done.stderr) - begin >= len(err)


def test_log_is_in_storage_while_the_program_runs(azure: Desk, container: Container) -> None:
    """What is written appears after the interval, and much at once sooner than that."""
    with azure.started("run", "--flush-interval", "0.2", "--", "sh", "-c", "echo begun; read go") as child:
        wait_until(lambda: stored(container) == b"begun\n")
        azure.ended(child, code=1)
    with azure.started("run", "--flush-interval", "600", "--", "sh", "-c", "yes | head -c 3000000; read go") as child:
        wait_until(lambda: len(stored(container)) == 3_000_000)
        azure.ended(child, code=1)


def stored(container: Container, name: str = "stdout.txt") -> bytes:
    """A log of task t1 as it is in storage now."""
    blobs = [blob.name for blob in container.client.list_blobs()]
    return container.content(f"t1/$TaskLog/{name}") if f"t1/$TaskLog/{name}" in blobs else b""


def test_output_is_passed_on_as_it_comes(desk: Desk) -> None:
    """A line is seen by our reader long before the program ends."""
    with desk.started("run", "--", "sh", "-c", "echo one; read go; echo two") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"one\n"
        child.stdin.write(b"go\n")
        assert desk.ended(child).stdout == b"two\n"


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "| true"])
def test_our_streams_closed_or_broken(desk: Desk, closing: str) -> None:
    """Whatever becomes of our own streams, the program and its log are unaffected, and its code is kept."""
    line = "echo out; echo err >&2; yes | head -c 1000000; exit 9"
    command = f"batch-outputs run -- sh -c '{line}' {closing}"
    desk.shell(
        f"{{ batch-outputs run -- sh -c '{line}'; echo $? >code; }} {closing}" if "|" in closing else command, code=None
    )
    if "|" in closing:
        assert (desk.folder / "code").read_text() == "9\n"
    else:
        desk.shell(command, code=9)
    assert log(desk) == b"out\n" + b"y\n" * 500_000
    assert log(desk, "stderr.txt") == b"err\n"


def test_slow_reader(desk: Desk) -> None:
    """A reader that takes nothing does not slow the program: it ends while its output still waits for us."""
    line = "yes | head -c 5000000; touch ended; read go"
    with desk.started("run", "--", "sh", "-c", line) as child:
        wait_until((desk.folder / "ended").exists)
        assert desk.ended(child, code=1).stdout == b"y\n" * 2_500_000


def test_nonblocking_stdout(desk: Desk) -> None:
    """A stdout that somebody made non-blocking loses nothing when it is full."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with desk.started("run", "--", "sh", "-c", "yes | head -c 3000000; touch ended", stdout=writer) as child:
        os.close(writer)
        wait_until((desk.folder / "ended").exists)
        with os.fdopen(reader, "rb") as pipe:
            assert pipe.read() == b"y\n" * 1_500_000
        desk.ended(child)


def test_grandchild_that_holds_stdout(desk: Desk) -> None:
    """A background process that keeps the output open does not hold us."""
    done = desk.run("run", "--", "sh", "-c", "sleep 300 & echo $! >pid; echo done")
    assert done.out == "done\n"
    os.kill(int((desk.folder / "pid").read_text()), signal.SIGKILL)


def test_spool_is_removed_when_all_is_stored(desk: Desk) -> None:
    """After a good run nothing is left on the disk but what the program made."""
    desk.run("run", "--", "touch", "made")
    assert {name for name in desk.everything if not name.startswith("batch-outputs/")} == {"made"}
    assert not (desk.folder / ".batch-outputs").exists()


def test_spool_is_private_and_in_the_working_directory(desk: Desk) -> None:
    """The program writes to files that only its user can read, below the task's working directory."""
    desk.variables["BATCH_OUTPUTS_ACCOUNT_URL"] = (desk.folder / "acct").as_uri()
    desk.variables |= {"AZ_BATCH_TASK_WORKING_DIR": str(desk.folder / "wd"), "AZ_BATCH_TASK_ID": "t"}
    (desk.folder / "wd").mkdir()
    desk.run("prepare", "j")
    done = desk.run("run", "--job", "j", "--", "sh", "-c", "ls -ld wd/.batch-outputs/*; ls -l wd/.batch-outputs/*/")
    modes = [line.split()[0][:10] for line in done.out.splitlines() if line[0] in "d-"]
    assert modes[0] == "drwx------"
    assert set(modes[1:]) == {"-rw-------"}


def test_wrapper_killed(desk: Desk) -> None:
    """When we are killed without notice, the program goes on, and its output is on the disk."""
    line = "echo $$ >pid; echo before; while [ ! -e killed ]; do sleep 0.05; done; echo after; touch ended"
    with desk.started("run", "--", "sh", "-c", line) as child:
        wait_until((desk.folder / "pid").exists)
        child.kill()
        child.wait(timeout=TIMEOUT)
    desk.write("killed")
    wait_until((desk.folder / "ended").exists)
    (spool,) = desk.folder.glob(".batch-outputs/*/stdout.txt")
    assert spool.read_bytes() == b"before\nafter\n"


@pytest.mark.parametrize("sent", ["TERM", "INT", "HUP", "USR1"])
def test_signals_are_forwarded(azure: Desk, container: Container, sent: str) -> None:
    """A signal to us reaches the program, whose code is kept; the log has all it wrote and is marked with the code."""
    line = f"trap 'echo got {sent}; exit 7' {sent}; echo ready; while :; do sleep 0.05; done"
    with azure.started("run", "--", "sh", "-c", line) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(getattr(signal, f"SIG{sent}"))
        assert azure.ended(child, code=7).out == f"got {sent}\n"
    assert stored(container) == f"ready\ngot {sent}\n".encode()
    marks = container.client.get_blob_client("t1/$TaskLog/stdout.txt").get_blob_properties().metadata
    assert (marks["exit_code"], marks["complete"]) == ("7", "true")


def test_ctrl_c_at_a_terminal(desk: Desk) -> None:
    """At a terminal the program reads from it, and Ctrl-C reaches it once; its code is kept."""
    import pty

    master, slave = pty.openpty()
    line = "trap 'echo caught; exit 7' INT; read word; echo got $word; while :; do sleep 0.05; done"
    with desk.started(
        *("run", "--", "sh", "-c", line),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        terminal=True,
    ) as child:
        os.close(slave)
        os.write(master, b"hello\n")
        shown = b""
        while b"got hello" not in shown:
            shown += os.read(master, 1024)
        os.write(master, b"\x03")
        assert child.wait(timeout=TIMEOUT) == 7
    os.close(master)
    assert log(desk) == b"got hello\ncaught\n"


def test_signal_reaches_the_whole_group(desk: Desk) -> None:
    """The program's own children get the signal too; death by it is 128 + n."""
    with desk.started("run", "--", "sh", "-c", "sleep 300 & echo $!; wait") as child:
        assert child.stdout
        grandchild = int(child.stdout.readline())
        child.send_signal(signal.SIGTERM)
        desk.ended(child, code=128 + signal.SIGTERM)
    wait_until(lambda: not Path(f"/proc/{grandchild}").exists() or "Z" in state(grandchild))


def state(pid: int) -> str:
    """The state of a process, as /proc has it; Z once it is dead and nobody has asked for it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_ignored_signals_stay_ignored(desk: Desk) -> None:
    """Under nohup a hang-up ends neither us nor the program."""
    line = "trap '' HUP; exec batch-outputs run -- sh -c 'echo ready; read go; echo went on'"
    with subprocess.Popen(
        ["sh", "-c", line], cwd=desk.folder, env=desk.environment(), stdin=-1, stdout=-1, stderr=-1
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        child.send_signal(signal.SIGHUP)
        out, err = child.communicate(b"go\n", timeout=TIMEOUT)
    assert (child.returncode, out) == (0, b"went on\n"), err


def test_save_patterns(desk: Desk) -> None:
    """--save takes kinds and the patterns of upload rules, after the program has ended; $VAR is expanded."""
    make = "mkdir -p out/deep; touch out/1.png out/deep/2.png out/3.txt .hidden log.log; echo x >$MINE/4"
    done = desk.run(
        *("run", "--save", "out/**/*.png", "--save", "TaskPreview=out/*.txt", "--save", "Own=$MINE/*"),
        *("--save", "*.nothing", "--save", "**/.hid*", "--", "sh", "-c", make),
        variables={"MINE": "out/deep"},
    )
    assert {name.removeprefix("task/") for name in desk.outputs() if "$TaskLog" not in name} == {
        "$TaskOutput/out/1.png",
        "$TaskOutput/out/deep/2.png",
        "$TaskPreview/out/3.txt",
        "$Own/out/deep/2.png",
        "$Own/out/deep/4",
        "$TaskOutput/.hidden",
    }
    assert "No file matches *.nothing; check the pattern." in done.sentences
    assert done.summary == "saved 6 files (2 B) and 2 logs (0 B) of task task; the program ended with 0."


def test_files_are_saved_after_a_failure_too(desk: Desk) -> None:
    """A program that fails has its files saved as well, and its code is kept."""
    desk.run("run", "--save", "*.txt", "--", "sh", "-c", "echo x >a.txt; exit 4", code=4)
    assert "task/$TaskOutput/a.txt" in desk.outputs()


def test_program_that_empties_its_output(desk: Desk) -> None:
    """What a program writes after emptying its own output, as `tee /dev/stderr` does, still comes through."""
    done = desk.run("run", "--", "sh", "-c", "echo one | tee /dev/stderr; exit 3", code=3)
    assert done.out == "one\n"
    assert done.of_program == b"one\n"


def test_program_starts_before_anything_heavy(desk: Desk) -> None:
    """No event loop, HTTP client or azure module is loaded before the program runs."""
    loaded = "import sys; print(','.join(sys.modules))"
    code = (
        "import sys; from batch_outputs.cli import main; from batch_outputs.runner.program import Program\n"
        "start = Program.start\n"
        "def watched(*args): print(','.join(sys.modules), flush=True); return start(*args)\n"
        "Program.start = watched; sys.argv[1:] = ['run', '--', 'true']; main()"
    )
    done = subprocess.run(
        [PYTHON, "-c", code], cwd=desk.folder, env=desk.environment(), capture_output=True, check=True, timeout=TIMEOUT
    )
    modules = {name.partition(".")[0] for name in done.stdout.decode().strip().split(",")}
    assert "batch_outputs" in modules
    assert not modules & {"azure", "aiohttp", "asyncio", "anyio", "aiofiles", "watchfiles"}, loaded


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("printf 'b\\na\\n' | sort | tr a-z A-Z", b"A\nB\n"),
        ("printf hello | gzip -c | gzip -dc", b"hello"),
        (f"{PYTHON} -c \"print('buffered'); print('x' * 20000)\"", b"buffered\n" + b"x" * 20000 + b"\n"),
        ("echo to a tty? ; test -t 1 || echo no", b"to a tty?\nno\n"),
    ],
)
def test_real_pipelines(desk: Desk, line: str, out: bytes) -> None:
    """Pipelines, gzip and a program with buffered output leave their bytes in storage and on our stdout."""
    assert desk.run("run", "--", "sh", "-c", line).stdout == out
    assert log(desk) == out


def test_gzip_in_place(desk: Desk) -> None:
    """The wrapped gzip makes its file, and it is saved with its type."""
    desk.write("data.csv", b"1,2\n" * 10_000)
    desk.run("run", "--save", "*.gz", "--", "gzip", "-k", "data.csv")
    assert gzip.decompress(desk.run("cat", "data.csv.gz").stdout) == b"1,2\n" * 10_000


@needs("ffmpeg")
def test_ffmpeg(desk: Desk) -> None:
    """The wrapped ffmpeg renders a clip and a preview; its talk on stderr is the log."""
    arguments = [
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=64x64:rate=5:duration=1",
        "-y",
        "clip.mp4",
        "-frames:v",
        "1",
        "p.png",
    ]
    done = desk.run(
        "run", "--save", "*.mp4", "--save", "TaskPreview=*.png", "--", program("ffmpeg"), "-nostdin", *arguments
    )
    outputs = desk.outputs()
    assert outputs["task/$TaskOutput/clip.mp4"]["size"] == (desk.folder / "clip.mp4").stat().st_size > 1000
    assert desk.run("cat", "p.png").stdout.startswith(b"\x89PNG")
    assert b"ffmpeg version" in log(desk, "stderr.txt")
    assert log(desk, "stderr.txt") == done.of_program


def test_a_second_attempt_keeps_the_first(azure: Desk, container: Container) -> None:
    """An attempt that writes the same as an ended one does not take over its log: exit codes stay apart."""
    azure.run("run", "--", "sh", "-c", "echo same; exit 3", code=3)
    azure.run("run", "--", "sh", "-c", "echo same; exit 0")
    codes = {
        name: container.client.get_blob_client(f"t1/$TaskLog/{name}").get_blob_properties().metadata["exit_code"]
        for name in ("stdout.attempt-1.txt", "stdout.txt")
    }
    assert codes == {"stdout.attempt-1.txt": "3", "stdout.txt": "0"}


def test_one_file_without_a_name_does_not_lose_the_others(desk: Desk) -> None:
    """A file whose name is not text is named as not saved; all others are saved."""
    desk.write("good.txt", "good")
    (Path(os.fsdecode(os.path.join(os.fsencode(desk.folder), b"bad\xff.txt")))).write_text("bad")
    done = desk.run("run", "--save", "*.txt", "--", "true", code=125)
    assert (desk.folder / "batch-outputs/job-local/task/$TaskOutput/good.txt").read_text() == "good"
    assert "not Unicode text" in done.err


def test_absolute_patterns(desk: Desk, tmp_path: Path) -> None:
    """An absolute pattern is fine below the working directory, and refused elsewhere before the program starts."""
    desk.run("run", "--save", f"{desk.folder}/*.txt", "--", "sh", "-c", "echo x > a.txt")
    assert (desk.folder / "batch-outputs/job-local/task/$TaskOutput/a.txt").read_text() == "x\n"
    refused = desk.run("run", "--save", f"{tmp_path}/*.txt", "--", "touch", "started", code=125)
    assert "outside the task's directories" in refused.err
    assert not (desk.folder / "started").exists()


@pytest.mark.parametrize("pause", [0, 1.5])
def test_program_that_cleans_its_folder(desk: Desk, pause: float) -> None:
    """A program that deletes all that lies in its folder, the files of its own output among it, loses nothing."""
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = (desk.folder.parent / "acct/job-x").as_uri()
    desk.variables["AZ_BATCH_TASK_ID"] = "t1"
    (desk.folder.parent / "acct/job-x").mkdir(parents=True)
    line = f"echo important; sleep {pause}; rm -rf .batch-outputs; echo done; echo last >&2"
    done = desk.run("run", "--", "sh", "-c", line)
    assert done.out == "important\ndone\n"
    logs = desk.folder.parent / "acct/job-x/t1/$TaskLog"
    assert (logs / "stdout.txt").read_bytes() == b"important\ndone\n"
    assert (logs / "stderr.txt").read_bytes() == b"last\n"
    assert {record["complete"] for record in desk.outputs().values()} == {True}


def test_one_file_by_two_rules(desk: Desk) -> None:
    """A file that is saved as a checkpoint and as an output of one kind is saved, and nothing goes wrong."""
    line = "for i in 1 2 3 4 5 6; do head -c 300000 /dev/urandom >$i.bin; done"
    done = desk.run("run", "--checkpoint", "TaskOutput=*.bin", "--save", "*.bin", "--", "sh", "-c", line)
    assert done.summary.startswith("saved 6 files (1.8 MB) and 2 logs (0 B), 6 checkpoints of task task")


def test_size_of_a_log_in_parts(desk: Desk) -> None:
    """The summary counts all parts of a log whose file the program has emptied."""
    stored = "batch-outputs/job-local/task/\\$TaskLog/stdout.txt"
    line = f"echo 0123456789; until [ -s {stored} ]; do sleep 0.05; done; : >/dev/stdout; echo again"
    done = desk.run("run", "--flush-interval", "0.1", "--", "sh", "-c", line)
    assert "2 logs (17 B)" in done.summary


def test_time_of_the_program(desk: Desk) -> None:
    """The time that is told is the program's, from its start."""
    told = desk.run("run", "--", "sleep", "1").sentences[-1]
    found = re.search(r"ended with 0 after (\d+\.\d) s", told)
    assert found
    assert float(found[1]) >= 1.0


def test_a_daemon_goes_on_without_us(desk: Desk) -> None:
    """A program that forks a daemon and ends is over; what the daemon writes later is not waited for."""
    line = "(trap '' HUP; while [ ! -e go ]; do sleep 0.02; done; echo late; touch ended) & echo early"
    assert desk.run("run", "--", "sh", "-c", line).out == "early\n"
    assert log(desk) == b"early\n"
    desk.write("go")
    wait_until((desk.folder / "ended").exists)


def test_script_without_its_first_line(desk: Desk) -> None:
    """A script that does not say what runs it is run by sh, as by a shell, wherever it is found."""
    desk.write("bin/bare", 'echo "$0 $1"; exit 3\n').chmod(0o755)
    assert desk.run("run", "--", "bin/bare", "a b", code=3).out == "bin/bare a b\n"
    path = f"{desk.folder}/bin:{desk.environment()['PATH']}"
    assert desk.run("run", "--", "bare", "x", code=3, variables={"PATH": path}).out == f"{desk.folder}/bin/bare x\n"


def test_descriptors_come_through(desk: Desk) -> None:
    """What we were given open, as by `<(...)` of a shell, the program has, too."""
    desk.write("five", "fifth\n")
    line = 'exec 5<five; batch-outputs run -- sh -c "cat <&5"'
    assert desk.shell(line).out == "fifth\n"


def test_ignored_signals_that_the_program_listens_to(desk: Desk) -> None:
    """A signal that we were started to ignore, as by a script's `&`, still reaches a program that listens to it."""
    desk.write(
        "listens.py",
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, lambda *_: sys.exit(5))\n"
        "open('ready', 'w').close()\n"
        "while True: time.sleep(0.02)\n",
    )
    line = (
        f"batch-outputs run -- {PYTHON} listens.py & while [ ! -e ready ]; do sleep 0.02; done; kill -INT $!; wait $!"
    )
    desk.shell(line, code=5)
