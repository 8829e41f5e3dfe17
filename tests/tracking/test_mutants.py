"""Each rule of the append protocol is needed: without it, a history shows bytes lost, repeated or mixed.

A mutant is the code with one rule taken out. `HISTORIES` are short stories with one trap each; the code as it is passes
all of them, and each mutant is caught by the one that is named beside it.
"""

from __future__ import annotations
import __future__

import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, TypeAlias, cast

import pytest

from batch_outputs import log_part, stored
from batch_outputs.errors import StoreError
from batch_outputs.log_chain import LogChain
from batch_outputs.log_part import LogPart
from batch_outputs.names import beside
from batch_outputs.stores.base import Store, Written
from support.faulty_store import Fault, FaultyStore, Plan
from support.log_world import FOREIGN, NAME, MemoryGround, World, Writer
from support.memory_store import MemoryStore

History: TypeAlias = Callable[[World], None]
BLOCK_LIMIT = 12
HISTORIES: dict[str, History] = {}


def history(function: History) -> History:
    """Add a history under its own name."""
    HISTORIES[function.__name__] = function
    return function


@history
def an_append_whose_answer_is_lost(world: World) -> None:
    """It is stored, and not again."""
    world.write()
    writer = world.start(Plan("append", Fault.ANSWER_LOST))
    world.flush(writer)
    world.check()
    world.write()
    world.settle(writer)
    assert world.read() == world.text


@history
def an_append_that_never_arrives(world: World) -> None:
    """Nothing is counted as saved before it is."""
    world.write()
    writer = world.start(Plan("append", Fault.NOT_SENT))
    world.flush(writer)
    world.check()
    assert writer.log.chain.bytes_saved == 0
    world.settle(writer)


@history
def an_append_that_arrives_after_its_repetition(world: World) -> None:
    """The late one is refused."""
    world.write()
    writer = world.start(Plan("append", Fault.LATE))
    world.flush(writer)
    world.flush(writer)
    world.check()
    world.deliver_late()
    world.check()
    world.settle(writer)


@history
def an_append_that_arrives_before_its_longer_repetition(world: World) -> None:
    """What came late is ours, and the rest follows it under the same name."""
    world.write()
    writer = world.start(Plan("append", Fault.LATE))
    world.flush(writer)
    world.check()
    world.write()
    world.fault(writer, Plan("append", before=world.deliver_late))
    world.flush(writer)
    world.check()
    world.settle(writer)
    assert world.names() == ["log.txt"]


def _another_content_and_what_came_late(world: World, writer: Writer) -> None:
    """The file begins anew, then arrives what was on its way; the log goes on in a part."""
    world.check()
    world.truncate(40)
    world.write(60)
    world.fault(writer, Plan("append", before=world.deliver_late))
    world.flush(writer)
    world.check()
    world.settle(writer)
    assert world.names() == ["log.part-2.txt", "log.txt"]


@history
def an_append_that_arrives_after_its_bytes_have_left_the_file(world: World) -> None:
    """What came late is ours though the file has something else by now, which goes on in a part."""
    world.write()
    writer = world.start()
    world.flush(writer)
    world.write()
    world.fault(writer, Plan("append", Fault.LATE))
    world.flush(writer)
    _another_content_and_what_came_late(world, writer)


@history
def appends_that_are_lost_and_refused_in_turn(world: World) -> None:
    """A refusal does not make forgotten what may still be on its way."""
    world.write()
    writer = world.start()
    world.flush(writer)
    for fault in (Fault.LATE, Fault.BUSY):
        world.write()
        world.fault(writer, Plan("append", fault))
        world.flush(writer)
    _another_content_and_what_came_late(world, writer)


@history
def an_append_that_is_refused_and_was_carried_out(world: World) -> None:
    """It is known for ours, though the file has something else by now."""
    world.write()
    writer = world.start()
    world.flush(writer)
    world.write()
    world.fault(writer, Plan("append", Fault.BUSY_AFTER))
    world.flush(writer)
    world.check()
    world.truncate(40)
    world.write(60)
    world.flush(writer)
    world.check()
    world.settle(writer)
    assert world.names() == ["log.part-2.txt", "log.txt"]


@history
def an_append_that_arrives_in_the_next_attempts_blob(world: World) -> None:
    """An append of an earlier attempt, for an empty blob, does not get into the empty blob of a later one."""
    world.write()
    world.kill_after(world.start(Plan("append", Fault.LATE)))
    world.replace()
    writer = world.start_second()
    world.deliver_late()
    world.check()
    world.settle(writer)
    assert world.names() == ["log.txt"]


@history
def a_create_that_arrives_late(world: World) -> None:
    """It does not wipe what has been stored since."""
    world.write()
    writer = world.start(Plan("create", Fault.LATE))
    world.flush(writer)
    world.check()
    world.deliver_late()
    world.check()
    world.settle(writer)


@history
def a_take_over_whose_answer_is_lost(world: World) -> None:
    """A restarted attempt goes on with a log that it has made its own without knowing."""
    world.write()
    world.kill_after(world.start())
    writer = world.start(Plan("set_metadata", Fault.ANSWER_LOST))
    world.check()
    world.write()
    world.settle(writer)
    world.finish(writer)
    world.check()
    assert world.names() == ["log.txt"]


@history
def a_restart_with_the_same_file(world: World) -> None:
    """The checksum is that of all, also of what was there before."""
    world.write()
    world.kill_after(world.start())
    world.write()
    writer = world.start()
    world.check()
    world.finish(writer)
    world.check()
    assert world.names() == ["log.txt"]


@history
def a_restart_with_a_fresh_file(world: World) -> None:
    """The earlier log is kept whole, and the new one begins in its place."""
    world.write()
    world.kill_after(world.start())
    earlier = world.text
    world.check()
    world.replace(60)
    writer = world.start()
    world.check()
    world.settle(writer)
    assert world.read() == world.text
    assert world.read(beside(NAME, "attempt-1")) == earlier


@history
def an_earlier_writer_that_lives(world: World) -> None:
    """What it appends between the copy of its log and the new beginning is not wiped."""
    world.write()
    first = world.start()
    world.flush(first)
    world.check()

    def first_goes_on() -> None:
        first_file = first.log.chain.file
        assert first_file.look().replaced
        with (world.path.parent / "first").open("ab") as file:
            file.write(b"one more line\n")
        world.flush(first)

    world.path.rename(world.path.parent / "first")
    world.replace()
    second = world.start_second(Plan("create"), Plan("create", before=first_goes_on))
    world.check()
    world.settle(second)


@history
def a_second_writer_of_the_same_file(world: World) -> None:
    """The earlier one is told to stop, and goes on under its own name."""
    world.write()
    first = world.start()
    world.flush(first)
    world.check()
    second = world.start_second()
    world.check()
    world.write()
    world.flush(first)
    world.flush(second)
    world.check()
    assert first.log.chain.blob_name != NAME == second.log.chain.blob_name
    world.settle(first)


@history
def a_second_writer_of_a_log_in_parts(world: World) -> None:
    """The earlier one, at work in the second part, is told to stop as well."""
    world.write()
    first = world.start()
    world.flush(first)
    world.truncate(0)
    world.write()
    world.flush(first)
    world.check()
    world.path.rename(world.path.with_name("first"))
    world.start_second()
    world.check()
    with world.path.with_name("first").open("ab") as file:
        file.write(b"one more line\n")
    world.flush(first)
    assert first.log.chain.blob_name != NAME


@history
def a_restart_that_is_broken_off_half_way(world: World) -> None:
    """A log in parts is taken over whole, though the second request to that end fails at first."""
    world.write()
    first = world.start()
    world.flush(first)
    world.truncate(0)
    world.write()
    world.kill_after(first)
    writer = world.start(Plan("set_metadata"), Plan("set_metadata", Fault.NOT_SENT))
    world.write()
    world.settle(writer)
    world.finish(writer)
    world.check()
    assert world.names() == ["log.part-2.txt", "log.txt"]


@history
def a_copy_that_is_made_again_and_again(world: World) -> None:
    """An earlier log is kept once, though the new beginning fails several times."""
    world.write()
    world.kill_after(world.start())
    world.replace(60)
    begin_anew = [Plan("create"), Plan("create", Fault.NOT_SENT)]
    writer = world.start(*begin_anew, *begin_anew, *begin_anew)
    for _ in range(4):
        world.flush(writer)
        world.check()
    world.settle(writer)
    assert world.names() == ["log.attempt-1.txt", "log.txt"]


@history
def a_log_that_is_deleted_before_its_end(world: World) -> None:
    """It is made anew, though the file has nothing new."""
    world.write()
    writer = world.start()
    world.flush(writer)
    world.check()
    world.delete()
    world.finish(writer)
    world.check()
    assert world.read() == world.text


@history
def a_stranger_in_a_finished_part(world: World) -> None:
    """A part with a stranger's bytes does not get the checksum of what it was."""
    world.write()
    writer = world.start()
    world.flush(writer)
    world.replace()
    world.finish(writer)
    world.check()
    world.append_foreign()
    writer = world.start()
    world.check()
    world.finish(writer)
    world.check()


@history
def metadata_of_somebody(world: World) -> None:
    """What others note on a log stays with it through restarts and to the end."""
    world.write()
    writer = world.start()
    world.flush(writer)
    world.edit_metadata()
    world.write()
    world.kill_after(writer)
    writer = world.start()
    world.check()
    world.edit_metadata()
    world.finish(writer)
    world.check()
    (blob,) = world.blobs()
    assert blob.properties.metadata["reviewed"] == "yes"


@history
def a_stranger_that_appends(world: World) -> None:
    """Bytes that we did not send are not taken for ours, though there are as many."""
    world.write(len(FOREIGN))
    writer = world.start(Plan("append", Fault.NOT_SENT))
    world.flush(writer)
    world.append_foreign()
    world.write()
    world.flush(writer)
    world.check()
    world.settle(writer)


@history
def a_file_that_is_truncated(world: World) -> None:
    """It goes on in a part of its own."""
    world.write(100)
    writer = world.start()
    world.flush(writer)
    world.check()
    before = world.text
    world.truncate(0)
    world.write(50)
    world.settle(writer)
    assert world.read() == before + world.text


@history
def a_file_that_is_truncated_and_longer_again(world: World) -> None:
    """Its length says nothing, and still nothing is mixed."""
    world.write(100)
    writer = world.start()
    world.flush(writer)
    world.check()
    world.truncate(0)
    world.write(300)
    world.flush(writer)
    world.check()
    world.settle(writer)


@history
def a_file_that_is_rewritten_far_behind(world: World) -> None:
    """It is noticed at the end, and the log ends with what the file holds."""
    world.write(9000)
    writer = world.start()
    world.flush(writer)
    world.check()
    world.rewrite(10)
    world.finish(writer)
    world.check()
    assert world.read().endswith(world.text)


@history
def a_file_that_grows_while_it_is_sent(world: World) -> None:
    """What comes meanwhile belongs to the next round."""
    world.write()
    writer = world.start(Plan("append", before=world.write))
    world.flush(writer)
    world.check()
    world.settle(writer)


@history
def a_name_that_looks_like_a_part(world: World) -> None:
    """A file of somebody's, called as a part would be, is neither read as one nor moved."""
    world.save_file(beside(NAME, "part-2"), b"mine")
    world.write()
    writer = world.start()
    world.flush(writer)
    assert world.read() == world.text
    world.truncate(0)
    world.write()
    world.settle(writer)
    assert world.read(beside(NAME, "part-2")) == b"mine"


@history
def more_rounds_than_a_blob_takes_blocks(world: World) -> None:
    """A new part begins before the limit."""
    writer = world.start()
    for _ in range(3 * BLOCK_LIMIT):
        world.write()
        assert world.flush(writer) is None
    world.settle(writer)
    assert world.read() == world.text


@history
def a_limit_that_comes_sooner_than_counted(world: World) -> None:
    """A part that the service has closed is gone on from, though fewer blocks were counted."""
    writer = world.start()
    for _ in range(BLOCK_LIMIT):
        writer.log.chain._opened()[1].blocks = 0
        world.write()
        assert world.flush(writer) is None
    world.write()
    assert isinstance(world.flush(writer), StoreError)
    assert world.flush(writer) is None
    world.settle(writer)
    assert world.read() == world.text
    assert world.read(beside(NAME, "part-2"))


@dataclass(frozen=True)
class Mutant:
    """A rule taken out: in the source of `method`, `rule` becomes `instead`; `caught_by` names a history."""

    name: str
    caught_by: str
    owner: type | ModuleType
    method: str
    rule: str
    instead: str

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the code be without the rule."""
        original = inspect.getattr_static(self.owner, self.method)
        function = cast("FunctionType", original.fget if isinstance(original, property) else original)
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(self.rule) == 1, f"{self.name}: the rule is not there, or not once"
        code = compile(source.replace(self.rule, self.instead), self.name, "exec", __future__.annotations.compiler_flag)
        scope: dict[str, Any] = {}
        exec(code, {**function.__globals__, "create_in_any_case": create_in_any_case}, scope)  # noqa: S102 - a mutant is made
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.owner, self.method, scope[self.method])
            yield


async def create_in_any_case(store: Store, name: str, metadata: Mapping[str, str] | None) -> Written:
    """Create an append blob over whatever is there."""
    if name in [blob.name async for blob in store.list()]:
        await store.delete(name)
    return await store.create_append(name, metadata=metadata)


APPEND_RULE = "self._store.append(name, data, offset=offset, etag=etag)"
CREATE_RULE = "self._store.create_append(name, content_type=content_type, metadata=metadata, replaces=replaces)"
MUTANTS = [
    Mutant(
        "append without any condition",
        "an_append_that_arrives_after_its_repetition",
        *(FaultyStore, "append", APPEND_RULE, "self._store.append(name, data, offset=None, etag=None)"),
    ),
    Mutant(
        "append without the ETag condition",
        "an_append_that_arrives_in_the_next_attempts_blob",
        *(FaultyStore, "append", APPEND_RULE, "self._store.append(name, data, offset=offset, etag=None)"),
    ),
    Mutant(
        "blind retry of an append",
        "an_append_whose_answer_is_lost",
        *(LogPart, "append", "self._remember(data)"),
        "found = await self._store.properties(self.blob_name); "
        "await self._store.append(self.blob_name, data, offset=found.size, etag=found.etag); "
        "self._remember(data + data)",
    ),
    Mutant(
        "no look back after an error",
        "an_append_whose_answer_is_lost",
        *(LogPart, "settle", "await self._look_again()", "self._in_flight.clear()"),
    ),
    Mutant(
        "what was sent before a refusal forgotten",
        "appends_that_are_lost_and_refused_in_turn",
        *(LogPart, "append", "if isinstance(error, StoreBusyError):"),
        "if isinstance(error, StoreBusyError) and not self._in_flight.clear():",
    ),
    Mutant(
        "a refusal believed at all events",
        "an_append_that_is_refused_and_was_carried_out",
        *(LogPart, "append", "self._remember(data)", "isinstance(error, StoreBusyError) or self._remember(data)"),
    ),
    Mutant(
        "bytes that were sent are forgotten once the blob was looked at",
        "an_append_that_arrives_after_its_bytes_have_left_the_file",
        *(LogPart, "_look_again", "if found.etag != known.etag:", "if True:"),
    ),
    Mutant(
        "bytes in flight not compared",
        "a_stranger_that_appends",
        *(LogPart, "_look_again", "if any(sent.startswith(stored) for sent in self._in_flight):", "if True:"),
    ),
    Mutant(
        "attempt ignored when looking back",
        "a_second_writer_of_the_same_file",
        *(LogPart, "_look_again", "!= self.marks.attempt", "is None"),
    ),
    Mutant(
        "offset moved before the confirmation",
        "an_append_that_never_arrives",
        *(LogPart, "append", "    try:", "    self._confirm(data, properties)\n    try:"),
    ),
    Mutant(
        "length taken after the reading",
        "a_file_that_grows_while_it_is_sent",
        *(LogChain, "_append_up_to", "await part.append(data)"),
        "await part.append(data); part.properties = replace(part.properties, size=self.file.look().size)",
    ),
    Mutant(
        "plain create instead of create if absent",
        "a_create_that_arrives_late",
        *(FaultyStore, "create_append", CREATE_RULE),
        f"{CREATE_RULE} if replaces else create_in_any_case(self._store, name, metadata)",
    ),
    Mutant(
        "no content check when resuming",
        "a_restart_with_a_fresh_file",
        *(LogChain, "_begins_with", "if self.file.read(position, len(chunk)) != chunk:", "if False:"),
    ),
    Mutant(
        "an own log taken for an empty one",
        "a_take_over_whose_answer_is_lost",
        *(LogChain, "_begins_with", "self._confirmed(chunk)", "pass"),
    ),
    Mutant(
        "checksum of the new bytes only",
        "a_restart_with_the_same_file",
        *(LogPart, "take_over", "self._hash = hashed", "pass"),
    ),
    Mutant(
        "set aside without copying",
        "a_restart_with_a_fresh_file",
        *(LogChain, "_set_aside", "await self._keep(chain)", "''"),
    ),
    Mutant(
        "created anew without If-Match",
        "an_earlier_writer_that_lives",
        *(FaultyStore, "create_append", CREATE_RULE),
        f"create_in_any_case(self._store, name, metadata) if replaces else {CREATE_RULE}",
    ),
    Mutant(
        "truncation not noticed",
        "a_file_that_is_truncated",
        *(LogChain, "_append_up_to", 'raise _ChangedError("truncated")', "return True"),
    ),
    Mutant(
        "tail not compared",
        "a_file_that_is_truncated_and_longer_again",
        *(LogChain, "_check_tail", "if around != self._tail + beginning:", "if False:"),
    ),
    Mutant(
        "file not compared at the end",
        "a_file_that_is_rewritten_far_behind",
        *(LogChain, "finish", "not self._file_is_as_saved()", "False"),
    ),
    Mutant(
        "the last part of an earlier log not fenced",
        "a_second_writer_of_a_log_in_parts",
        *(LogChain, "_set_aside", "await self._fence(chain[-1])", "chain[-1]"),
    ),
    Mutant(
        "finished parts not looked at when resuming",
        "a_stranger_in_a_finished_part",
        *(LogChain, "_resume", "part.size != mark.length", "False"),
    ),
    Mutant(
        "a blob that is gone at the end not made anew",
        "a_log_that_is_deleted_before_its_end",
        *(LogPart, "finish", "except BlobNotFoundError as error:", "except ZeroDivisionError as error:"),
    ),
    Mutant(
        "half a take-over counts",
        "a_restart_that_is_broken_off_half_way",
        *(LogChain, "_resume", "first = last =", "self._first = self._part = first = last ="),
    ),
    Mutant(
        "parts joined by name alone",
        "a_name_that_looks_like_a_part",
        *(stored, "find_part", "return found if is_one and log in (None, marks.log) else None", "return found"),
    ),
    Mutant(
        "what has a part's name is set aside",
        "a_name_that_looks_like_a_part",
        *(LogChain, "_clear_for", "if theirs.log is None or theirs.part != part.marks.part:", "if False:"),
    ),
    Mutant(
        "refusal of more blocks not understood",
        "a_limit_that_comes_sooner_than_counted",
        *(LogPart, "append", "if error.code == _NO_MORE_BLOCKS:", "if False:"),
    ),
    Mutant(
        "limit of blocks ignored",
        "more_rounds_than_a_blob_takes_blocks",
        *(LogChain, "_append_up_to", "if part.is_full:", "if False:"),
    ),
]


ETAG_IGNORED = Mutant(
    "a service that ignores the ETag of an append",
    *("", MemoryStore, "append", "self._check(blob, name, etag)", "pass"),
)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """An empty world where a blob takes few blocks."""
    monkeypatch.setattr(log_part, "MAX_BLOCKS", BLOCK_LIMIT - 2)
    world = World(tmp_path, MemoryGround(block_limit=BLOCK_LIMIT))
    yield world
    world.close()


@pytest.mark.parametrize("name", HISTORIES)
def test_the_code_passes(world: World, name: str) -> None:
    """Nothing is lost, repeated or mixed in any history."""
    HISTORIES[name](world)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught(world: World, mutant: Mutant) -> None:
    """Without the rule the history goes wrong."""
    with mutant.applied(), pytest.raises(Exception) as caught:  # noqa: PT011 - it breaks as it likes
        HISTORIES[mutant.caught_by](world)
    assert not isinstance(caught.value, NameError | TypeError | AttributeError), "the mutant is broken, not caught"


@pytest.mark.parametrize("with_position", [True, False])
def test_the_position_alone_refuses_a_late_append(world: World, with_position: bool) -> None:
    """Of the two conditions of an append either keeps bytes from being stored twice: here the ETag does nothing."""
    without_position = "self._store.append(name, data, offset=None, etag=etag)"
    without = Mutant("append without the position", "", FaultyStore, "append", APPEND_RULE, without_position)
    repeated = HISTORIES["an_append_that_arrives_after_its_repetition"]
    with ETAG_IGNORED.applied():
        if with_position:
            repeated(world)
        else:
            with without.applied(), pytest.raises(AssertionError):
                repeated(world)
