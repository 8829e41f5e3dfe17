"""A program that changes a byte is found out by a run of the benchmarks, and stands in no comparison."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from benchmarks.cases import Case, Row, Stage
from benchmarks.contenders.sdk import SdkBlocking
from benchmarks.data import Data, made
from benchmarks.measuring import Command, measured
from benchmarks.running import run_case
from benchmarks.services import services
from benchmarks.tables import case_tables
from benchmarks.tools import Tools
from benchmarks.verdicts import verdicts
from benchmarks.works.transfers import _upload, _wrong_files

from support.azurite import Container
from support.peers import needs

UPLOAD = """
import os, sys
from azure.storage.blob import ContainerClient
with ContainerClient.from_container_url(os.environ["CONTAINER_URL"]) as container:
    for where, _, names in os.walk(sys.argv[1]):
        for name in names:
            path = os.path.join(where, name)
            with open(path, "rb") as file:
                data = bytearray(file.read())
            if name == sys.argv[2]:
                data[len(data) // 2] ^= 1
            container.upload_blob(path, bytes(data))
"""


class Script(SdkBlocking):
    """Uploads with the Python of the tests, and changes a byte of one file if it is told to."""

    careless = ""

    def upload(self, data: Data, container: Container) -> Command:
        words = [sys.executable, "-c", UPLOAD, data.folder, self.careless]
        return Command(words, {"CONTAINER_URL": container.sas_url()}, data.root)


class Careless(Script):
    careless = "0001.bin"


class Uploads(Case):
    """Both of them on the sink; the careful one stands for ours."""

    @contextmanager
    def rows(self, stage: Stage) -> Iterator[Sequence[Row]]:
        data, service = stage.data(3, 4096), stage.services.sink
        careful, careless = Script(Tools(), data.root), Careless(Tools(), data.root)
        yield [
            Row("careful", "ours", partial(_upload, careful, data, service)),
            Row("careless", "peer", partial(_upload, careless, data, service)),
        ]


@needs("nginx")
def test_a_wrong_byte_fails_its_row(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The row is named with its file at once and below the table, is run no more, and has no numbers."""
    with services(tmp_path, quick=True) as running:
        stage = Stage(tmp_path / "stage", running, quick=True, peers=[])
        result = run_case("work", Uploads("case"), stage, rounds=1)
    assert list(result.failures) == ["careless"]
    assert "wrong bytes in, or instead of, 1 of the files: 3x4096/00/0001.bin" in result.failures["careless"]
    assert "FAILED: work, case: careless: wrong bytes" in capsys.readouterr().err
    assert list(result.samples) == ["careful"]
    table = case_tables(result, verdicts(result, []), "what")
    assert "| careful " in table
    assert "careless FAILED: wrong bytes" in table


def test_a_wrong_byte_of_a_download_is_found(tmp_path: Path) -> None:
    """A changed byte, a file too few and a file too many are named."""
    data = made(tmp_path / "data", 4, 4096)
    folder = tmp_path / "downloaded"
    for name, path in data.files.items():
        target = folder / "t1" / "$TaskOutput" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    assert _wrong_files(data, folder, check=True) == []
    here = folder / "t1" / "$TaskOutput" / data.folder / "00"
    changed = bytearray((here / "0000.bin").read_bytes())
    changed[1000] ^= 1
    (here / "0000.bin").write_bytes(changed)
    (here / "0002.bin").unlink()
    (here / "more.bin").touch()
    wrong = [name.rpartition("/")[2] for name in _wrong_files(data, folder, check=True)]
    assert wrong == ["0000.bin", "0002.bin", "more.bin"]
    wrong = [name.rpartition("/")[2] for name in _wrong_files(data, folder, check=False)]
    assert wrong == ["0002.bin", "more.bin"]


@needs("nginx")
def test_a_cost_is_that_of_the_process_and_its_children() -> None:
    """Time, CPU and memory of a child count, and those of the process that measures do not."""
    child = "x = bytearray(150 * 2**20)\nimport time\nwhile time.process_time() < 0.5: pass"
    words = [sys.executable, "-c", f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"]
    cost = measured(Command(words))
    assert 0.5 <= cost.cpu < 5
    assert cost.cpu <= 2 * cost.wall
    assert 150 * 2**20 < cost.memory < 220 * 2**20
    held = bytearray(200 * 2**20)
    assert measured(Command([sys.executable, "-c", "pass"])).memory < 60 * 2**20
    del held
