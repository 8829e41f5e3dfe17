"""The command `batch-outputs`: it parses, calls the library and shows what came of it."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import NoReturn

import click

from batch_outputs.cli.app import cli
from batch_outputs.cli.codes import FAILURE, INTERRUPTED, USAGE
from batch_outputs.cli.talk import ReaderGoneError, all_is_said, say, sentences, without_secrets, writing_output
from batch_outputs.wording import printable


def main() -> NoReturn:
    """Run the command line and exit: 0, 2 for usage, 125 for any other failure, 130 on Ctrl-C; `run` has its own."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name that the locale cannot show is still a name
    code = _exit_code()
    if not all_is_said():
        os._exit(code)  # the interpreter would wait for somebody to listen
    _abandon_broken_streams()
    if code == INTERRUPTED:
        os._exit(code)  # the interpreter would first wait for threads that wait for the store
    sys.exit(code)


def _exit_code() -> int:
    try:
        outcome = cli.main(prog_name="batch-outputs", standalone_mode=False)
        with writing_output():
            if sys.stdout is not None:
                sys.stdout.flush()
    except click.UsageError as error:
        return _wrong_usage(error)
    except (KeyboardInterrupt, click.Abort):
        say("interrupted.")
        return INTERRUPTED
    except ReaderGoneError:
        return 0
    except Exception as error:
        if os.environ.get("BATCH_OUTPUTS_DEBUG"):
            raise
        for sentence in sentences(error):
            say(sentence)
        return FAILURE
    return outcome if isinstance(outcome, int) else 0


def _wrong_usage(error: click.UsageError) -> int:
    if not isinstance(error, click.exceptions.NoArgsIsHelpError):
        error = click.UsageError(printable(without_secrets(error.format_message())), error.ctx)
    with contextlib.suppress(OSError):  # there is nobody to tell
        error.show()
    # The codes below 125 belong to the program that `run` wraps.
    wraps = error.ctx is not None and error.ctx.command.name == "run"
    return FAILURE if wraps else USAGE


def _abandon_broken_streams() -> None:
    """Keep the interpreter from flushing, as its last act, what nobody takes: it would change our exit code to 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
