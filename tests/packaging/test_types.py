"""Users' type checkers see a type for everything public in the package that is installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_every_public_symbol_has_a_type(tmp_path: Path) -> None:
    """Pyright, which trusts only what is written down, knows the type of every public name, from `py.typed` on."""
    # It looks into the environment of the first Python of PATH.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--verifytypes", "batch_outputs", "--ignoreexternal", "--outputjson"],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.startswith("{"), f"{done.stdout}\n{done.stderr}"
    report = json.loads(done.stdout)["typeCompleteness"]
    lacking = [
        f"{symbol['name']}: {'; '.join(diagnostic['message'] for diagnostic in symbol['diagnostics'])}"
        for symbol in report["symbols"]
        if symbol["isExported"] and not symbol["isTypeKnown"]
    ]
    assert lacking == []
    assert report["pyTypedPath"].endswith("py.typed")
    assert report["completenessScore"] == 1
    modules = {module["name"] for module in report["modules"]}
    assert {"batch_outputs", "batch_outputs.sync", "batch_outputs.client", "batch_outputs.client.sync"} <= modules
    assert report["exportedSymbolCounts"]["withKnownType"] > 1000
