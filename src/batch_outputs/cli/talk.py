"""What the command says to people: data on stdout, sentences on stderr, all of it safe for a terminal."""

from __future__ import annotations

import contextlib
import re
import sys
import time
from collections.abc import Callable, Iterator

import click

from batch_outputs.cli.voice import Voice, write
from batch_outputs.errors import BatchOutputsError, TargetError
from batch_outputs.wording import printable

_SECRET = re.compile(r"(?i)((?:sig|signature|accountkey)(?:=|%3d|%253d))[^&;)\s\"']+")

_AT_ONCE = 200
_SOON = 0.1

_voice: Voice | None = None


def say(sentence: str) -> None:
    """Print a sentence on stderr, with our name before it."""
    line = f"batch-outputs: {printable(without_secrets(sentence))}\n"
    if _voice is None:
        write(sys.stderr, line)
    else:
        _voice.say(line)


def say_without_waiting() -> None:
    """From now on, `say` does not wait for whoever reads our stderr, for commands that have more to do than to talk."""
    global _voice  # noqa: PLW0603 - stderr is one for the whole process, too
    _voice = Voice(sys.stderr)


def all_is_said() -> bool:
    """Say nothing more; False if somebody is still to be told and does not listen, so that stderr is not to be touched.

    The process can then be left only by `os._exit`, as the interpreter would flush stderr, and wait.
    """
    return _voice is None or _voice.finish()


def say_where(place: str, *, embedded: bool) -> None:
    """Say where outputs go, before they do."""
    if embedded:
        say(f"nothing says where outputs go, so they go to the folder {place}.")
    else:
        say(f"saving to {place}.")


def check_output() -> None:
    """Make sure, before any work, that what a command is asked for can be shown.

    Raises:
        TargetError: stdout is closed.
    """
    if sys.stdout is None:
        raise TargetError("Standard output is closed; lead it to a file, a pipe or a terminal.", path="-")


def show(line: str) -> None:
    """Print a line of data on stdout, or many with line ends between.

    Raises:
        ReaderGoneError: nobody reads it any more.
        TargetError: stdout cannot be written, as on a full disk.
    """
    with writing_output():
        click.echo(line)


@contextlib.contextmanager
def showing() -> Iterator[Callable[[str], None]]:
    """A `show` for very many lines: they are shown some at a time, at a terminal each at once.

    No line waits much longer than the next one takes to come.
    """
    if sys.stdout is None or sys.stdout.isatty():
        yield show
        return
    held: list[str] = []
    shown = 0.0

    def hold(line: str) -> None:
        nonlocal shown
        held.append(line)
        if len(held) >= _AT_ONCE or time.monotonic() - shown > _SOON:
            let_go()
            shown = time.monotonic()

    def let_go() -> None:
        lines = "\n".join(held)
        held.clear()
        show(lines)

    try:
        yield hold
    finally:
        if held:
            let_go()


class ReaderGoneError(Exception):
    """Whoever read our stdout has seen enough and gone, which is no failure."""


@contextlib.contextmanager
def writing_output() -> Iterator[None]:
    """Tell a stdout that cannot be written from one whose reader has gone."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderGoneError from None  # click would make an exit code of its own out of a BrokenPipeError
    except OSError as error:
        raise TargetError(
            f"Standard output cannot be written: {error.strerror or error}; check where it leads.", path="-"
        ) from error


def sentences(error: BaseException) -> Iterator[str]:
    """One sentence for each error in a group, or for the one there is; what is not ours is named by its class."""
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from sentences(one)
    elif isinstance(error, BatchOutputsError):
        yield str(error)
    else:
        yield f"an error nobody expected, {type(error).__name__}: {error} (BATCH_OUTPUTS_DEBUG=1 shows where)."


def without_secrets(text: str) -> str:
    """Text without the signature of a SAS or the key of an account, should anybody have typed one."""
    return _SECRET.sub(r"\1…", text)


def talk_to_terminal() -> bool:
    """Whether what we say is read at a terminal, where a progress bar is of use."""
    return sys.stderr is not None and sys.stderr.isatty()


def somebody_to_ask() -> bool:
    """Whether there is a terminal to ask at, and to answer."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))
