"""The files that are saved: random, so that nothing can be compressed, and the same in every run."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.measuring import MIB

_SEED = 20261122
_IN_A_FOLDER = 1000
_PIECE = 16 * MIB


@dataclass(frozen=True)
class Data:
    """So many files of one size, in a folder of `root`."""

    root: Path
    folder: str
    count: int
    each: int

    @cached_property
    def files(self) -> dict[str, Path]:
        """The files by their names relative to `root`, with forward slashes."""
        return {name: self.root / name for name in (self._name(number) for number in range(self.count))}

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.count * self.each

    @cached_property
    def md5(self) -> dict[str, str]:
        """The checksum of each file by its name."""
        sums = {}
        for name, path in self.files.items():
            with path.open("rb") as file:
                sums[name] = hashlib.file_digest(file, _md5).hexdigest()
        return sums

    def _name(self, number: int) -> str:
        return f"{self.folder}/{number // _IN_A_FOLDER:02}/{number % _IN_A_FOLDER:04}.bin"


def made(root: Path, count: int, each: int) -> Data:
    """Files of `each` bytes below `root`, which need to be made only once."""
    data = Data(root, f"{count}x{each}", count, each)
    chance = random.Random(f"{_SEED} {count} {each}")  # noqa: S311 - nothing is kept secret by it
    for path in data.files.values():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            left = each
            while left:
                left -= file.write(chance.randbytes(min(left, _PIECE)))
    return data


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)
