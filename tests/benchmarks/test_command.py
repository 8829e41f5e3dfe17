"""`python -m benchmarks` as its user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks.works import WORKS

from support.peers import needs

ROOT = Path(__file__).parents[2]


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def test_the_list_names_all_works() -> None:
    """Each work is shown with what it does, where, and the limits that must hold."""
    shown = run("--list").stdout
    assert (
        "small: save 2,000 files of 4 KiB\n  Azurite: wall s ≤ 0.8 times, CPU s ≤ 0.6 times, peak MiB ≤ 90\n" in shown
    )
    assert "batch-outputs, no checksums: wall s ≤ 1 times the best without, " in shown
    for work in ("many", "large", "download-large", "list", "start", "tracking"):
        assert f"\n{work}: " in shown


def test_what_does_not_exist_is_refused() -> None:
    """A work or a peer that there is none of is named, and nothing is run."""
    assert "no such work: tiny" in run("tiny", code=2).stderr
    assert "no such peer: scp" in run("small", "--peers", "scp", code=2).stderr


@needs("nginx")
@needs("rclone")
def test_a_tiny_run_gives_tables_and_numbers(tmp_path: Path) -> None:
    """Ours and a peer stand in the table of each work, with a verdict on each limit, and all numbers in the file."""
    cases = tiny_run(tmp_path, "small", "backlog", "--on", "sink", "--peers", "rclone")
    assert [case["work"] for case in cases] == ["small", "backlog"]
    small = cases[0]
    assert {row: len(samples) for row, samples in small["samples"].items()} == {"batch-outputs": 1, "rclone": 1}
    ours = small["samples"]["batch-outputs"][0]
    assert ours["requests"] >= 50
    assert ours["cpu"] > 0
    assert 10 < ours["memory"] < 1000
    assert [(verdict["metric"], verdict["best"]) for verdict in small["verdicts"]] == [
        ("wall", "rclone"),
        ("cpu", "rclone"),
        ("memory", None),
    ]


@needs("nginx")
@needs("rclone")
def test_by_https(tmp_path: Path) -> None:
    """By https ours and a peer save and download the same bytes; works that are about something else are refused."""
    cases = tiny_run(tmp_path, "medium", "download-medium", "--https", "--peers", "rclone,sdk")
    assert [(case["work"], case["case"]) for case in cases] == [
        ("medium", "Azurite"),
        ("medium", "sink"),
        ("download-medium", "Azurite"),
    ]
    for case in cases:
        assert case["samples"]["batch-outputs"][0]["requests"] >= 4
    assert "not for start" in run("start", "--https", code=2).stderr


@pytest.mark.long
@needs("nginx")
def test_all_works_run_with_all_peers(tmp_path: Path) -> None:
    """Nobody fails in any work, which all bytes were compared for."""
    cases = tiny_run(tmp_path)
    assert {case["work"] for case in cases} == set(WORKS)
    assert {"AzCopy", "adlfs", "rclone"} <= set(cases[0]["samples"])


def tiny_run(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What a run with little data has written to the file: of each row of each case one sample, and no failure."""
    numbers = folder / "numbers.json"
    done = run(*arguments, "--quick", "--folder", str(folder), "--json", str(numbers))
    cases: list[dict[str, Any]] = json.loads(numbers.read_text())["cases"]
    for case in cases:
        assert not case["failures"]
        assert case["samples"].keys() == case["roles"].keys()
        for row in case["samples"]:
            assert f"\n| {row} " in done.stdout
    assert [path.name for path in folder.iterdir()] == ["numbers.json"], "what it made is gone"
    return cases
