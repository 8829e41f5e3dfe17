"""How much memory other processes have had, where the system tells."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

MIB = 1024 * 1024
needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")

COMMAND_THAT_TELLS = (
    sys.executable,
    "-c",
    (
        "import atexit, re, sys\n"
        "def tell():\n"
        "    with open('/proc/self/status') as status:\n"
        "        print('most memory:', re.search(r'VmHWM:\\s+(\\d+) kB', status.read())[1], file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "from batch_outputs.cli import main\n"
        "sys.exit(main())\n"
    ),
)
"""The command `batch-outputs`, saying on stderr at its end how much memory it has had; `most_told` reads that."""


def most_memory(pid: int) -> int:
    """The most memory that a process under way has had in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def most_told(stderr: str) -> int:
    """The most memory that a `COMMAND_THAT_TELLS` has had in bytes."""
    found = re.search(r"^most memory: (\d+)$", stderr, re.MULTILINE)
    assert found, stderr
    return int(found[1]) * 1024
