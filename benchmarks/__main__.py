"""Compare batch-outputs with other programs: `python -m benchmarks [WORK ...]`, in a clone, on Linux.

Each program is run as a whole process, in turn with the others, after a run that does not count and in which all bytes
are compared. What it needs is installed into the tests' cache; nginx comes from Debian.
"""

# ruff: noqa: T201 - it prints what it has measured

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.cases import Case, Stage
from benchmarks.contenders import CONTENDERS
from benchmarks.errors import BenchmarkError
from benchmarks.metrics import METRICS
from benchmarks.results import CaseResult
from benchmarks.running import run_case
from benchmarks.services import services
from benchmarks.tables import case_tables, verdict_table
from benchmarks.verdicts import Limit, Verdict, verdicts
from benchmarks.works import WORKS, Work

PEERS = [kind.key for kind in CONTENDERS if not kind.ours]


def main() -> int:
    """Run what the command line asks for; 0, or 1 if anything failed, such as a wrong byte. A missed limit is shown."""
    asked = _arguments()
    if asked.list:
        _show_works()
        return 0
    if not sys.platform.startswith("linux"):
        print("benchmarks: they need Linux, which tells what a process has cost.", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the services are stopped and the files removed
    done: list[tuple[CaseResult, list[Verdict]]] = []
    stage: Stage | None = None
    try:
        with (
            tempfile.TemporaryDirectory(dir=asked.folder) as folder,
            services(Path(folder), quick=asked.quick, https=asked.https) as running,
        ):
            Path(folder).chmod(0o755)
            stage = Stage(Path(folder), running, quick=asked.quick, peers=asked.peers)
            for work, case in _chosen(asked.works, asked.on):
                result = run_case(work.name, case, stage, asked.rounds)
                judged = verdicts(result, case.limits)
                done.append((result, judged))
                what = f"{work.what}, or with --quick less" if asked.quick else work.what
                print(case_tables(result, judged, what) + "\n", flush=True)
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if stage is not None and done:
            _tell(done, stage, asked.json)
    return int(any(result.failures for result, _ in done))


def _show_works() -> None:
    """All works with their limits; times are those of the best other program."""
    for work in WORKS.values():
        print(f"{work.name}: {work.what}")
        for case in work.cases:
            limits = ", ".join(_limit_text(limit) for limit in case.limits)
            print(f"  {case.name}: {limits or 'no limit'}")


def _limit_text(limit: Limit) -> str:
    whose = f"{limit.ours}: " if limit.ours else ""
    return f"{whose}{METRICS[limit.metric].title} {limit.shown}"


def _tell(done: Sequence[tuple[CaseResult, list[Verdict]]], stage: Stage, path: str | None) -> None:
    """The summary, and all numbers into a file."""
    if judged := [(result.title, verdict) for result, found in done for verdict in found]:
        print("## All\n\n" + verdict_table(judged) + "\n")
    for result, _ in done:
        for row, sentence in result.failures.items():
            print(f"FAILED: {result.title}: {row}: {sentence}")
    if path is not None:
        everything = {
            "machine": {"cpus": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "quick": stage.quick,
            "versions": stage.tools.versions(),
            "cases": [{**asdict(result), "verdicts": [asdict(one) for one in found]} for result, found in done],
        }
        Path(path).write_text(json.dumps(everything, indent=1) + "\n")


def _chosen(names: Sequence[str], on: str | None) -> list[tuple[Work, Case]]:
    works = [WORKS[name] for name in names] if names else list(WORKS.values())
    return [(work, case) for work in works for case in work.cases if on is None or (case.service or "").lower() == on]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__.partition("\n")[0])
    parser.add_argument("works", metavar="WORK", nargs="*", help="what to run, as --list names it; by default all")
    parser.add_argument("--list", action="store_true", help="show all works, and run none")
    parser.add_argument("--rounds", type=int, help="how often each is run after the first time (5, or 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="little data, to see whether all works; worth no number")
    parser.add_argument("--on", choices=["azurite", "sink"], help="only on this service")
    parser.add_argument("--peers", type=_peers, default=PEERS, help=f"of {','.join(PEERS)}; none for ours alone")
    parser.add_argument("--https", action="store_true", help="reach services by https; only for what moves files")
    parser.add_argument("--folder", metavar="DIR", help="where the data is kept while it runs: on the disk to be used")
    parser.add_argument("--json", metavar="FILE", help="write all numbers to a file")
    asked = parser.parse_args()
    asked.rounds = asked.rounds if asked.rounds is not None else 1 if asked.quick else 5
    if unknown := [name for name in asked.works if name not in WORKS]:
        parser.error(f"no such work: {', '.join(unknown)}; --list shows them")
    if asked.https:
        asked.works = asked.works or [name for name, work in WORKS.items() if work.moves_files]
        if unmoved := [name for name in asked.works if not WORKS[name].moves_files]:
            parser.error(f"--https is for works that move files, not for {', '.join(unmoved)}")
    return asked


def _peers(text: str) -> list[str]:
    chosen = [] if text == "none" else text.split(",")
    if unknown := [name for name in chosen if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"no such peer: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    return chosen


if __name__ == "__main__":
    sys.exit(main())
