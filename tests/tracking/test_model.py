"""Whatever happens to a file, its writers and their requests, in any order: storage holds the beginning of the file.

A Hypothesis state machine does it; `support.log_world` looks at storage after each step and knows what may be there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from batch_outputs import log_part
from support.azurite import Azurite
from support.faulty_store import Fault, Operation, Plan
from support.log_world import Ground, MemoryGround, ServiceGround, World, Writer

STEPS = 50
BLOCK_LIMIT = 12
"""Blocks of one blob in these histories; a part is full a little before."""

OPERATIONS: list[Operation] = ["create", "append", "properties", "read", "set_metadata", "copy"]
LOST_OR_REFUSED = [Fault.NOT_SENT, Fault.ANSWER_LOST, Fault.LATE, Fault.BUSY, Fault.BUSY_AFTER]
LENGTHS = st.sampled_from([1, 20, 40, 300, 3000, 5000])


class Histories(RuleBasedStateMachine):
    """One history: steps in any order, storage looked at after each."""

    def __init__(self, folder: Path, ground: Callable[[], Ground]) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        self.world = World(self.folder, ground())

    def teardown(self) -> None:
        self.world.close()
        shutil.rmtree(self.folder)

    @property
    def writers(self) -> list[Writer]:
        return self.world.writers

    def has_writers(self) -> bool:
        return bool(self.writers)

    def writer(self, number: int) -> Writer:
        return self.writers[number % len(self.writers)]

    @invariant()
    def storage_is_right(self) -> None:
        self.world.check()

    # The file

    @rule(length=LENGTHS)
    def write(self, length: int) -> None:
        self.world.write(length)

    @rule(length=LENGTHS)
    def write_more(self, length: int) -> None:
        self.world.write(length)

    @rule(create=st.booleans())
    def rotate(self, create: bool) -> None:
        self.world.rotate(create=create)

    @rule(length=LENGTHS)
    def replace(self, length: int) -> None:
        self.world.replace(length)

    @rule(size=st.sampled_from([0, 0, 5, 30, 5000]), grow=st.sampled_from([0, 0, 20, 6000]))
    def truncate(self, size: int, grow: int) -> None:
        self.world.truncate(size)
        if grow:
            self.world.write(grow)

    @precondition(lambda self: self.world.text)
    @rule(offset=st.sampled_from([0, 10, 100, 4000]))
    def rewrite(self, offset: int) -> None:
        self.world.rewrite(offset)

    # Writers

    @precondition(lambda self: not self.writers)
    @rule()
    def start(self) -> None:
        self.world.start()

    @precondition(lambda self: len(self.writers) == 1)
    @rule()
    def start_second(self) -> None:
        self.world.start_second()

    @precondition(has_writers)
    @rule(number=st.integers(0, 1), seconds=st.sampled_from([0.25, 5.0, 20.0, 100.0]))
    def round(self, number: int, seconds: float) -> None:
        self.world.clock.advance(seconds)
        self.world.round(self.writer(number))

    @precondition(has_writers)
    @rule(number=st.integers(0, 1))
    def flush(self, number: int) -> None:
        self.world.flush(self.writer(number))

    @precondition(has_writers)
    @rule(number=st.integers(0, 1), fault=st.sampled_from(list(Fault)), on=st.sampled_from(OPERATIONS))
    def plan_fault(self, number: int, fault: Fault, on: Operation) -> None:
        self.world.fault(self.writer(number), Plan(on, fault))

    @precondition(has_writers)
    @rule(number=st.integers(0, 1), fault=st.sampled_from(LOST_OR_REFUSED))
    def flush_with_a_fault(self, number: int, fault: Fault) -> None:
        writer = self.writer(number)
        self.world.write()
        self.world.fault(writer, Plan("append", fault))
        self.world.flush(writer)

    @precondition(has_writers)
    @rule(
        number=st.integers(0, 1),
        what=st.sampled_from(["write", "truncate", "rotate", "second", "other flushes", "foreign", "metadata"]),
        on=st.sampled_from(OPERATIONS),
        fault=st.sampled_from([None, *Fault]),
    )
    def meanwhile(self, number: int, what: str, on: Operation, fault: Fault | None) -> None:
        """Something happens between two requests."""
        writer = self.writer(number)
        if not self.world.nests and what not in ("write", "truncate", "rotate"):
            return

        self.world.write()
        self.world.fault(writer, Plan(on, fault, lambda: self.happen(what)))
        self.world.flush(writer)

    def happen(self, what: str) -> None:
        """What may come between two requests."""
        match what:
            case "write":
                self.world.write()
            case "truncate":
                self.world.truncate(0)
            case "rotate":
                self.world.rotate()
            case "second" if len(self.writers) == 1:
                self.world.start_second()
            case "other flushes":
                for other in [other for other in self.writers if not other.is_busy]:
                    self.world.flush(other)
            case "foreign":
                self.world.append_foreign()
            case "metadata":
                self.world.edit_metadata()

    @precondition(has_writers)
    @rule(number=st.integers(0, 1), down=st.booleans())
    def outage(self, number: int, down: bool) -> None:
        self.writer(number).store.down = down

    @rule()
    def deliver_late(self) -> None:
        self.world.deliver_late()

    @precondition(has_writers)
    @rule(number=st.integers(0, 1), again=st.booleans())
    def kill(self, number: int, again: bool) -> None:
        self.world.kill(self.writer(number))
        if again and not self.writers:
            self.world.start()

    @precondition(has_writers)
    @rule(number=st.integers(0, 1))
    def restart_with_a_fresh_file(self, number: int) -> None:
        self.world.kill(self.writer(number))
        self.world.replace()
        if not self.writers:
            self.world.start()

    @precondition(has_writers)
    @rule(number=st.integers(0, 1))
    def settle(self, number: int) -> None:
        self.world.settle(self.writer(number))

    @precondition(has_writers)
    @rule(number=st.integers(0, 1))
    def finish(self, number: int) -> None:
        self.world.finish(self.writer(number))

    # Strangers

    @rule()
    def append_foreign(self) -> None:
        self.world.append_foreign()

    @rule()
    def edit_metadata(self) -> None:
        self.world.edit_metadata()

    @rule()
    def delete(self) -> None:
        self.world.delete()


def run_histories(folder: Path, seed: int, histories: int, ground: Callable[[], Ground]) -> None:
    """Run so many histories of `STEPS` steps; the first that goes wrong is made short and shown."""
    chosen = settings(
        max_examples=histories,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )

    @seeded(seed)
    class Machine(Histories):
        def __init__(self) -> None:
            super().__init__(folder, ground)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_part, "MAX_BLOCKS", BLOCK_LIMIT - 2)
        run_state_machine_as_test(Machine, settings=chosen)


def test_histories(tmp_path: Path, seed: int, long_form: bool) -> None:
    """600 histories of 50 steps, 200,000 steps in the long form, over a store in memory as strict as the service."""
    run_histories(tmp_path, seed, 4000 if long_form else 600, lambda: MemoryGround(block_limit=BLOCK_LIMIT))


def test_histories_with_a_service(tmp_path: Path, seed: int, long_form: bool, azurite: Azurite) -> None:
    """Some histories over a real blob service."""

    def ground() -> ServiceGround:
        return ServiceGround(azurite.new_container().location())

    run_histories(tmp_path, seed, 100 if long_form else 8, ground)
