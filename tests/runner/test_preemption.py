"""A node whose end is announced: all is saved at once, and nothing that the service does harms the program."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch_outputs.runner.preemption import ENDINGS, Notice, notice_in
from support.azurite import Container
from support.command import TIMEOUT, Desk, wait_until
from support.in_time import Stopwatch, in_time
from support.metadata_service import HANG, NAME, NODE, NOT_BEFORE, MetadataService, Misbehaviour, Reply, event
from support.ports import quiet_port

posix = pytest.mark.skipif(sys.platform == "win32", reason="programs of POSIX")

PYTHON = sys.executable
LOG = "t1/$TaskLog/stdout.txt"
SAVED_WITHIN = 2.0
SOON = 30.0
"""Where waiting for the service would take minutes."""
PATIENCE = 60.0
DOES_NOT_TELL = "does not tell what is planned for this node"
UNTIL_GO = "echo ready; read go"


class TestNoticeIn:
    """What is read out of the service's answer."""

    @pytest.mark.parametrize("kind", ENDINGS)
    def test_each_end(self, kind: str) -> None:
        """Each kind of end is one, with its time."""
        assert notice_in({"Events": [event(kind)]}, NODE) == Notice(kind, NOT_BEFORE)

    @pytest.mark.parametrize("kind", ["Freeze", "preempt", "Preempt ", "", "Unknown"])
    def test_no_end(self, kind: str) -> None:
        """A pause, and whatever else the service may come to announce, is none."""
        assert notice_in({"Events": [event(kind)]}, NODE) is None

    @pytest.mark.parametrize(
        ("resources", "node", "counts"),
        [
            ([NODE], NODE, True),
            (["other_1", NODE], NODE, True),
            ([NODE.upper()], NODE, True),
            ([NODE], NODE.upper(), True),
            (["other_1"], NODE, False),
            ([f"{NODE}3"], NODE, False),
            ([], NODE, False),
            (["other_1"], None, True),
            ([], None, True),
        ],
    )
    def test_whose_end(self, resources: list[str], node: str | None, counts: bool) -> None:
        """Only ends of the own machine count, whatever the capitals of its name; all if the name is not known."""
        assert (notice_in({"Events": [event(resources=resources)]}, node) is not None) == counts

    def test_the_first_of_several(self) -> None:
        """Among pauses and ends of others the first own end is it."""
        others = [event("Freeze"), event("Preempt", ["other_1"])]
        assert notice_in({"Events": [*others, event("Reboot"), event("Preempt")]}, NODE) == Notice("Reboot", NOT_BEFORE)

    @pytest.mark.parametrize("not_before", ["", None, 7, ["Mon"], ...])
    def test_one_that_has_begun(self, not_before: Any) -> None:
        """An event that has started has no time, and counts; neither does a time that is no text stop it."""
        started = event(status="Started") | {"NotBefore": not_before}
        if not_before is ...:
            del started["NotBefore"]
        assert notice_in({"Events": [started]}, NODE) == Notice("Preempt", "")

    @pytest.mark.parametrize(
        "document",
        [
            *(None, True, 1, 1.5, "Events", [], ["Events"], {}, {"events": [event()]}),
            *({"Events": one} for one in (None, True, 1, "Preempt", {}, {"EventType": "Preempt"}, [None])),
            *({"Events": [one]} for one in (None, True, 1, "Preempt", [], [event()], {}, {"EventType": None})),
            *({"Events": [{**event(), "EventType": kind}]} for kind in (None, 1, ["Preempt"], {"Preempt": 1})),
            *({"Events": [{**event(), "Resources": names}]} for names in (None, 1, NODE, {NODE: 1}, [[NODE]], [None])),
        ],
    )
    def test_malformed(self, document: object) -> None:
        """What is no list of events of this node announces nothing."""
        assert notice_in(document, NODE) is None

    def test_good_among_malformed(self) -> None:
        """Beside an event that cannot be read, one that can be counts."""
        assert notice_in({"Events": [None, {"EventType": {}}, event("Reboot")]}, NODE) == Notice("Reboot", NOT_BEFORE)

    anything = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([*ENDINGS, NODE]),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["Events", *event()]), inner),
    )
    odd_event = st.fixed_dictionaries(
        {}, optional={"EventType": anything, "Resources": anything, "NotBefore": anything}
    )

    @settings(max_examples=50)
    @given(
        document=anything | st.fixed_dictionaries({"Events": st.lists(odd_event | anything)}),
        node=st.none() | st.text(),
    )
    def test_anything(self, document: object, node: str | None) -> None:
        """Whatever JSON may be: nothing is raised, and a notice is one of an end, with a time as text."""
        notice = notice_in(document, node)
        assert notice is None or (notice.event in ENDINGS and isinstance(notice.not_before, str))


@pytest.fixture
def service() -> Iterator[MetadataService]:
    """A metadata service on which nothing is planned."""
    with MetadataService() as running:
        yield running


@pytest.fixture
def node(desk: Desk, service: MetadataService) -> Desk:
    """A desk whose metadata service is that, with a folder as the store."""
    desk.variables["BATCH_OUTPUTS_METADATA_URL"] = service.url
    return desk


@pytest.fixture
def spot(node: Desk, azure: Desk) -> Desk:
    """The same with an empty container on a blob service."""
    assert node is azure
    return azure


def stored(container: Container, blob: str = LOG) -> bytes | None:
    """A blob as it is now; None while there is none."""
    there = blob in container.client.list_blob_names()
    return container.content(blob) if there else None


def marks(container: Container) -> dict[str, str]:
    """What the log of the program's standard output says of itself."""
    metadata: dict[str, str] = container.client.get_blob_client(LOG).get_blob_properties().metadata
    return metadata


def say(child: subprocess.Popen[bytes], line: str = "go") -> None:
    """Write a line to the program's standard input."""
    assert child.stdin is not None
    child.stdin.write(f"{line}\n".encode())
    child.stdin.flush()


def hear(child: subprocess.Popen[bytes], line: str) -> None:
    """The program's next line has to be this one."""
    assert child.stdout is not None
    assert child.stdout.readline() == f"{line}\n".encode()


def afresh(service: MetadataService, container: Container) -> None:
    """Nothing is planned and nothing is stored, for another try."""
    service.forget()
    for blob in list(container.client.list_blob_names()):
        container.client.delete_blob(blob)


def complaints(sentences: list[str]) -> list[str]:
    return [sentence for sentence in sentences if DOES_NOT_TELL in sentence]


def announcements(sentences: list[str]) -> list[str]:
    return [sentence for sentence in sentences if sentence.startswith("This node is to end")]


WATCHING = ("run", "--watch-preemption", "--flush-interval", "600")


@posix
class TestNotice:
    """What happens when the end of the node is announced."""

    @pytest.mark.parametrize("kind", ENDINGS)
    def test_all_is_saved(self, spot: Desk, service: MetadataService, container: Container, kind: str) -> None:
        """What was written is stored within 2 s, and so is what is written later; the log and we say why."""
        for watch in in_time(SAVED_WITHIN):
            afresh(service, container)
            self.all_is_saved(spot, service, container, kind, watch)

    def all_is_saved(
        self, spot: Desk, service: MetadataService, container: Container, kind: str, watch: Stopwatch
    ) -> None:
        with spot.started(*WATCHING, "--", "sh", "-c", "echo one; read go; echo two; read go; exit 3") as child:
            hear(child, "one")
            wait_until(lambda: stored(container) is not None)
            assert stored(container) == b""  # the interval is long
            with watch:
                service.announce(kind)
                wait_until(lambda: stored(container) == b"one\n")
                wait_until(lambda: "notice" in marks(container))
            assert marks(container)["notice"] == kind
            assert "complete" not in marks(container)
            say(child)
            hear(child, "two")
            with watch:
                wait_until(lambda: stored(container) == b"one\ntwo\n")
            say(child)
            done = spot.ended(child, code=3)
        last = marks(container)
        assert (last["notice"], last["complete"], last["exit_code"]) == (kind, "true", "3")
        assert announcements(done.sentences) == [
            f"This node is to end ({kind}, not before {NOT_BEFORE}); all that is there is saved now."
        ]

    def test_killed_after_notice(self, spot: Desk, service: MetadataService, container: Container) -> None:
        """A node that goes away seconds later takes with it nothing that was written 2 s before that."""
        for watch in in_time(SAVED_WITHIN):
            afresh(service, container)
            watch.seconds = self.killed_after_notice(spot, service, container)

    def killed_after_notice(self, spot: Desk, service: MetadataService, container: Container) -> float:
        """How old the last line was that is stored, when all was killed."""
        tick = "import time\nwhile True: print(time.monotonic(), flush=True); time.sleep(0.05)"
        with spot.started(*WATCHING, "--", PYTHON, "-c", f"import os\nprint(os.getpid())\n{tick}") as child:
            assert child.stdout is not None
            program = int(child.stdout.readline())
            service.announce()
            wait_until(lambda: stored(container))
            first = time.monotonic()
            while float(child.stdout.readline()) < first + 3.0:
                pass
            killed = time.monotonic()
            child.kill()
            os.kill(program, signal.SIGKILL)
            child.wait(timeout=TIMEOUT)
        assert marks(container)["notice"] == "Preempt"
        return killed - float((stored(container) or b"").split()[-1])

    def test_one_that_has_begun(self, node: Desk, service: MetadataService) -> None:
        """One without a time is said without one."""
        service.announce(not_before="")
        with node.started(*WATCHING, "--", "sh", "-c", UNTIL_GO) as child:
            told = seen_to_be_noticed(child)
            say(child)
            node.ended(child)
        assert told[-1] == "This node is to end (Preempt); all that is there is saved now."

    def test_report(self, node: Desk, service: MetadataService) -> None:
        """The report has what was announced, and null where nothing was."""
        node.run("run", "--watch-preemption", "--report", "r.json", "--", "true")
        assert json.loads((node.folder / "r.json").read_text())["notice"] is None
        service.announce("Terminate")
        noticed(node, *WATCHING, "--report", "r.json")
        notice = json.loads((node.folder / "r.json").read_text())["notice"]
        assert notice == {"event": "Terminate", "not_before": NOT_BEFORE}

    def test_whose(self, node: Desk, service: MetadataService) -> None:
        """Ends of other machines are not ours; ours is, under its name in other capitals."""
        service.announce(*ENDINGS, resources=["other_1"])
        service.announce("Freeze")
        with node.started(*WATCHING, "--", "sh", "-c", UNTIL_GO) as child:
            service.wait_for_looks(2)
            service.announce("Reboot", resources=[NODE.upper()])
            seen_to_be_noticed(child)
            say(child)
            done = node.ended(child)
        assert announcements(done.sentences) == []  # none but the one that was seen

    @pytest.mark.parametrize(
        "name",
        [
            Reply(404),
            Reply(body=b"<!DOCTYPE html><html><body>Sign in</body></html>", content_type="text/html"),
            HANG,
        ],
        ids=["404", "html", "hang"],
    )
    def test_without_a_name(self, node: Desk, service: MetadataService, name: Misbehaviour) -> None:
        """Where the own name cannot be learnt, every end counts, lest ours be missed."""
        service.misbehave(name, NAME)
        service.announce()
        began = time.monotonic()
        noticed(node, *WATCHING)
        assert time.monotonic() - began < SOON


def noticed(desk: Desk, *command: str) -> None:
    """Run a program until it is noticed that the node is to end."""
    with desk.started(*command, "--", "sh", "-c", UNTIL_GO) as child:
        seen_to_be_noticed(child)
        say(child)
        desk.ended(child)


def seen_to_be_noticed(child: subprocess.Popen[bytes]) -> list[str]:
    """Wait until the announcement is told; what was said until then."""
    assert child.stderr is not None
    told = []
    impatience = threading.Timer(PATIENCE, child.kill)
    impatience.start()
    try:
        while line := child.stderr.readline().decode().rstrip("\n"):
            told.append(line.removeprefix("batch-outputs: "))
            if announcements(told):
                return told
    finally:
        impatience.cancel()
    pytest.fail(f"it ended without notice: {told}")


@posix
class TestPreemptSignal:
    """`--preempt-signal`: what the program is told."""

    # It and its child write a line for each signal that they get; it repeats what it is told.
    PROGRAM = (
        "import os, signal, sys\n"
        "child = os.fork() == 0\n"
        "signal.signal(signal.SIGUSR1, lambda *_: os.write(1, b'child\\n' if child else b'program\\n'))\n"
        "os.write(1, b'ready\\n')\n"
        "if child:\n"
        "    while os.getppid() != 1 and not os.path.exists('end'): signal.sigtimedwait([], 0.05)\n"
        "    sys.exit()\n"
        "for line in sys.stdin: os.write(1, line.encode())\n"
        "open('end', 'w').close(); os.wait()"
    )

    @pytest.mark.parametrize(("options", "heard"), [(["--preempt-signal", "USR1"], 1), ([], 0)])
    def test_once_to_the_group(
        self, spot: Desk, service: MetadataService, container: Container, options: list[str], heard: int
    ) -> None:
        """It is sent to the program and its children once, and only if it is asked for."""
        with spot.started(*WATCHING, *options, "--", PYTHON, "-c", self.PROGRAM) as child:
            hear(child, "ready")
            hear(child, "ready")
            service.announce()
            expected = ["ready", "ready"] + ["child", "program"] * heard
            wait_until(lambda: sorted(lines(container)) == sorted(expected))
            looks = service.looks()
            for word in ("one", "two"):  # flushes come once a second, as looks would: there is time for another one
                say(child, word)
                expected.append(word)
                wait_until(lambda: sorted(lines(container)) == sorted(expected))
            spot.ended(child)  # which closes its standard input
        assert sorted(lines(container)) == sorted(expected)
        assert service.looks() == looks

    def test_spelling(self, node: Desk, service: MetadataService) -> None:
        """Its name may be written with SIG and in any capitals; death by it is 128 + n."""
        service.announce()
        line = "echo ready; exec sleep 300"
        node.run(*WATCHING, "--preempt-signal", "sigusr1", "--", "sh", "-c", line, code=128 + signal.SIGUSR1)

    @pytest.mark.parametrize("name", ["NOSUCH", "", "10"])
    def test_unknown(self, node: Desk, service: MetadataService, name: str) -> None:
        """A name that is none is wrong usage, before the program is started."""
        done = node.run("run", "--preempt-signal", name, "--", "touch", "started", code=125)
        assert "--preempt-signal" in done.err
        assert "there is no signal" in done.err
        assert node.everything == set()


def lines(container: Container) -> list[str]:
    return (stored(container) or b"").decode().splitlines()


@posix
class TestCheckpoints:
    """Files that are saved while the program runs."""

    def test_settled(self, spot: Desk, service: MetadataService, container: Container) -> None:
        """A checkpoint that is there and has settled is stored at once, while the program runs."""
        for watch in in_time(SAVED_WITHIN):
            afresh(service, container)
            self.settled(spot, service, container, watch)

    def settled(self, spot: Desk, service: MetadataService, container: Container, watch: Stopwatch) -> None:
        spot.write("early.ckpt", "early")
        service.announce()
        with spot.started(*WATCHING, "--checkpoint", "*.ckpt", "--", "sh", "-c", UNTIL_GO) as child:
            seen_to_be_noticed(child)
            with watch:
                wait_until(lambda: stored(container, "t1/$TaskIntermediate/early.ckpt") == b"early")
            say(child)
            spot.ended(child)

    @pytest.mark.parametrize("then", ["go on", "exit"])
    def test_written_on_the_signal(self, spot: Desk, service: MetadataService, container: Container, then: str) -> None:
        """One that the program writes because of the notice is stored: while it goes on, or when it ends at once."""
        late = "t1/$TaskIntermediate/late.ckpt"
        trap = f"trap 'echo late >late.ckpt{'; exit 9' if then == 'exit' else ''}' USR1"
        line = f"{trap}; echo ready; while [ ! -e go ]; do sleep 0.02; done; exit 9"
        options = ("--checkpoint", "*.ckpt", "--preempt-signal", "USR1")
        with spot.started(*WATCHING, *options, "--", "sh", "-c", line) as child:
            hear(child, "ready")
            service.announce()
            if then == "go on":
                wait_until(lambda: stored(container, late) == b"late\n")
                spot.write("go")
            done = spot.ended(child, code=9)
        assert stored(container, late) == b"late\n"
        assert ", 1 checkpoint of task t1" in done.summary


@posix
class TestWhetherItIsWatched:
    """When the service is asked."""

    def test_on_a_spot_node(self, node: Desk, service: MetadataService) -> None:
        """On a node that can be taken away it is, without being told to."""
        node.variables["AZ_BATCH_NODE_IS_DEDICATED"] = "false"
        service.announce()
        noticed(node, "run")

    @pytest.mark.parametrize("dedicated", [None, "true"])
    def test_elsewhere(self, node: Desk, service: MetadataService, dedicated: str | None) -> None:
        """Elsewhere it is not asked at all."""
        node.variables |= {"AZ_BATCH_NODE_IS_DEDICATED": dedicated} if dedicated is not None else {}
        self.run_for_a_while(node)
        assert service.requests == []

    def test_turned_off(self, node: Desk, service: MetadataService) -> None:
        """Nor is it with --no-watch-preemption."""
        node.variables["AZ_BATCH_NODE_IS_DEDICATED"] = "false"
        self.run_for_a_while(node, "--no-watch-preemption")
        assert service.requests == []

    def run_for_a_while(self, desk: Desk, *options: str) -> None:
        """Run a program until its log is in storage, which is begun after the watch would be."""
        log = desk.folder / "batch-outputs/job-local/task/$TaskLog/stdout.txt"
        with desk.started("run", "--flush-interval", "0.1", *options, "--", "sh", "-c", UNTIL_GO) as child:
            wait_until(lambda: log.exists() and log.read_bytes() == b"ready\n")
            say(child)
            desk.ended(child)

    def test_no_proxy(self, node: Desk, service: MetadataService) -> None:
        """The service is asked straight, whatever proxies are configured: no proxy can know of this node."""
        dead = f"http://127.0.0.1:{quiet_port()}"
        names = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        node.variables |= dict.fromkeys(names, dead)
        service.announce()
        noticed(node, *WATCHING)


BAD_ANSWERS: dict[str, list[Reply]] = {
    "errors": [Reply(410, b'{"error": "Gone"}'), Reply(429, b'{"error": "Too many requests"}'), Reply(500)],
    "rubbish": [
        Reply(body=b"\xff\xfe\x00rubbish"),
        Reply(body=b"[" * 500_000),
        Reply(body=b"<!DOCTYPE html><html><body>Please sign in.</body></html>", content_type="text/html"),
    ],
}


@posix
class TestServiceThatFails:
    """A service that is of no use is no trouble either."""

    @pytest.mark.parametrize("how", BAD_ANSWERS)
    def test_bad_answers(self, node: Desk, service: MetadataService, how: str) -> None:
        """One sentence tells of it; the first good answer afterwards is heeded; the program's code is its own."""
        first, *others = BAD_ANSWERS[how]
        service.misbehave(first)
        with node.started(*WATCHING, "--", "sh", "-c", f"{UNTIL_GO}; exit 7") as child:
            hear(child, "ready")
            for other in others:
                service.wait_for_looks()
                service.misbehave(other)
            service.wait_for_looks()
            service.announce()
            service.recover()
            told = seen_to_be_noticed(child)
            say(child)
            done = node.ended(child, code=7)
        assert len(complaints(told + done.sentences)) == 1

    @pytest.mark.parametrize("document", [b"null", b'{"Events": null}'])
    def test_other_documents(self, node: Desk, service: MetadataService, document: bytes) -> None:
        """A document of another shape announces nothing, and the run is as any."""
        service.misbehave(Reply(body=document))
        done = node.run(*WATCHING, "--", "sh", "-c", "echo out; exit 7", code=7)
        assert done.out == "out\n"
        assert announcements(done.sentences) == []

    def test_absent(self, node: Desk, service: MetadataService) -> None:
        """One that is not there is told of once, and heeded once it is there."""
        port = quiet_port()
        node.variables["BATCH_OUTPUTS_METADATA_URL"] = f"http://127.0.0.1:{port}"
        with node.started(*WATCHING, "--", "sh", "-c", f"{UNTIL_GO}; exit 7") as child:
            assert child.stderr is not None
            told = [child.stderr.readline().decode() for _ in range(2)]
            assert len(complaints(told)) == 1
            with MetadataService(port) as late:
                late.announce()
                told += seen_to_be_noticed(child)
            say(child)
            done = node.ended(child, code=7)
        assert len(complaints(told + done.sentences)) == 1

    def test_absent_to_the_end(self, node: Desk) -> None:
        """Nor does it hold a short run."""
        node.variables["BATCH_OUTPUTS_METADATA_URL"] = f"http://127.0.0.1:{quiet_port()}"
        began = time.monotonic()
        done = node.run(*WATCHING, "--", "sh", "-c", "echo out; exit 7", code=7)
        assert time.monotonic() - began < SOON
        assert done.out == "out\n"
        assert len(complaints(done.sentences)) <= 1

    def test_hanging_to_the_end(self, node: Desk, service: MetadataService) -> None:
        """One that takes the request and says nothing holds neither the program nor us, and is nothing to tell."""
        service.misbehave(HANG)
        with node.started(*WATCHING, "--", "sh", "-c", f"{UNTIL_GO}; exit 7") as child:
            hear(child, "ready")
            wait_until(lambda: service.requests)
            began = time.monotonic()
            say(child)
            done = node.ended(child, code=7)
        assert time.monotonic() - began < SOON
        assert complaints(done.sentences) == []

    def test_hanging_up(self, node: Desk, service: MetadataService) -> None:
        """One that cuts the connection after a while is asked again."""
        service.misbehave(HANG)
        with node.started(*WATCHING, "--", "sh", "-c", UNTIL_GO) as child:
            wait_until(lambda: service.requests)
            service.recover()
            service.announce()
            service.hang_up()
            told = seen_to_be_noticed(child)
            say(child)
            node.ended(child)
        assert len(complaints(told)) == 1

    def test_hanging_once_it_has_answered(self, node: Desk, service: MetadataService) -> None:
        """Only the first answer may take its minutes: a later request that gets none does not cost the notice."""
        with node.started(*WATCHING, "--", "sh", "-c", UNTIL_GO) as child:
            service.wait_for_looks(2)
            service.misbehave(HANG)
            service.wait_for_looks()
            service.recover()
            began = time.monotonic()
            service.announce()
            seen_to_be_noticed(child)
            assert time.monotonic() - began < SOON
            say(child)
            node.ended(child)


@posix
@pytest.mark.parametrize(
    "url",
    [
        "rubbish",
        "http://host:port",
        "http://host/metadata",
        "http://host?x",
        "http://user:pass-word@host",
        "https://169.254.169.254",
        "file:///metadata",
    ],
)
def test_bad_address(desk: Desk, url: str) -> None:
    """An address of the service that is none is refused with a sentence before the program is started."""
    desk.variables["BATCH_OUTPUTS_METADATA_URL"] = url
    done = desk.run("run", "--watch-preemption", "--", "touch", "started", code=125)
    (sentence,) = done.sentences
    assert "BATCH_OUTPUTS_METADATA_URL" in sentence
    assert "pass-word" not in sentence
    assert desk.everything == set()


@pytest.mark.parametrize("text", ["", "soon", "Mon, 99 Sep 2016 18:29:47 GMT", "Mon, 19 Sep 2016 18:29:47 GMT", "7"])
def test_no_time_left(text: str) -> None:
    """A time that is over, or is none, leaves no time."""
    assert Notice("Preempt", text).seconds_left == 0


def test_time_left() -> None:
    """The time until the node ends is taken from the announcement; years hence is no fault."""
    moment = datetime.now(UTC) + timedelta(minutes=10)
    assert 590 < Notice("Reboot", format_datetime(moment)).seconds_left <= 600
    assert Notice("Reboot", "Fri, 31 Dec 9999 23:59:59 -2300").seconds_left == 0  # beyond what a clock can tell
