"""A task's command line, cut as a node does it: by the system's rules, and without a shell."""

from __future__ import annotations

import os
import re
import shlex

from batch_outputs.errors import ConfigurationError

_OF_A_SHELL = {"&&", "||", "|", ";", "&", ">", ">>", "<", "2>", "2>&1", "2>/dev/null", ">/dev/null"}
_SHELL = re.compile(r"(?:ba|da|z|k)?sh|cmd(?:\.exe)?|pwsh|powershell(?:\.exe)?", re.IGNORECASE)
_VARIABLE = re.compile(r"\$\{?\w")


def split(command_line: str, *, windows: bool = os.name == "nt") -> str | list[str]:
    """What to start a process with: Windows itself takes the line as it stands.

    Raises:
        ConfigurationError: a quotation mark is not closed, or there is no program.
    """
    if "\0" in command_line:
        raise ConfigurationError("the command line holds a NUL character; remove it.")
    if windows:
        return command_line
    try:
        words = shlex.split(command_line)
    except ValueError as error:
        raise ConfigurationError(f"the command line cannot be read ({error}); close what is open.") from None
    if not words or not words[0]:
        raise ConfigurationError("the command line names no program; begin it with one.")
    return words


def needs_shell(command_line: str, *, windows: bool = os.name == "nt") -> str | None:
    """The first word that only a shell would understand, where the line runs no shell; a node passes it on as it is."""
    if windows:
        return None
    words = split(command_line, windows=False)
    if _SHELL.fullmatch(words[0].rpartition("/")[2]):
        return None
    for word in words[1:]:
        if word in _OF_A_SHELL or (_VARIABLE.search(word) and "'" not in command_line):
            return word
    return None
