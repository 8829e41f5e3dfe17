"""What a file alone cannot say about its blob: content type, metadata, blob type, and a revision for the ETag.

There is one small JSON file per blob. It is believed only if it fits the data, because people may edit, replace or drop
files in the folder by hand. While a blob is replaced, the file holds the records of the old data and of the new: the
one rename that replaces the data then changes everything at once, and a kill in between loses nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Self, get_args

from batch_outputs.stores.base import BlobType
from batch_outputs.stores.directory.system import move, open_plain

_LONGEST = 1 << 20  # bytes read of a file of records: metadata may have 8 KiB, so this is plenty


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be recorded of a blob whose data is still being written."""

    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    blob_type: BlobType = "block"

    def of(self, status: os.stat_result) -> Record:
        """The record of this data, with a revision that no other has."""
        return Record(
            self.content_type,
            dict(self.metadata),
            self.blob_type,
            revision=secrets.token_hex(8),
            inode=status.st_ino,
            size=status.st_size,
            modified=status.st_mtime_ns,
        )


@dataclass(frozen=True, slots=True)
class Record(Draft):
    """What is recorded of a blob, and of which data: file number, bytes, time of modification in ns."""

    revision: str = ""
    inode: int = 0
    size: int = 0
    modified: int = 0

    def fits(self, status: os.stat_result) -> bool:
        """Whether this is the record of that data. An append blob may have grown: appends leave the record alone."""
        if self.inode != status.st_ino:
            return False
        if self.blob_type == "append":
            return self.size <= status.st_size  # no look at the time: a clock may be set back
        return self.fits_copy(status)

    def fits_copy(self, status: os.stat_result) -> bool:
        """Whether that data can be a copy, as `cp -a` or `rsync -a` make one of the whole folder."""
        return (self.size, self.modified) == (status.st_size, status.st_mtime_ns)

    def etag(self, status: os.stat_result) -> str:
        """Another one after each change."""
        return f"{self.revision}-{status.st_size}" if self.blob_type == "append" else self.revision

    @classmethod
    def parse(cls, fields: dict[str, object]) -> Self:
        """The record that `asdict` took apart.

        Raises:
            TypeError: the fields are not those of a record.
        """
        record = cls(**fields)  # type: ignore[arg-type]  # checked in the next lines
        numbers = (record.inode, record.size, record.modified)
        texts = (record.revision, record.content_type or "", *record.metadata, *record.metadata.values())
        if not all(isinstance(n, int) for n in numbers) or not all(isinstance(t, str) for t in texts):
            raise TypeError("a number or a text of a record is neither")
        if record.blob_type not in get_args(BlobType):
            raise TypeError("a record's blob type is none")
        return record


class Records:
    """The records of one container, in a folder that exists before anything is saved."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def fitting(self, name: str, status: os.stat_result) -> Record | None:
        """The record of the data that was found, if there is one."""
        records = list(self._load(name))
        fitting = [record for record in records if record.fits(status)]
        copied = [record for record in records if record.fits_copy(status)]
        return next(iter(fitting + copied), None)

    def save(self, name: str, *records: Record) -> None:
        """Keep these and no others. Only under the container's lock: the name of the draft is always the same."""
        draft = os.path.join(self._folder, "draft")
        text = json.dumps({"name": name, "records": [asdict(record) for record in records]})
        # Never opened in place: something else may stand there under that name.
        _remove(draft)
        with open(draft, "xb") as file:
            file.write(text.encode())
        move(draft, self._path(name))

    def remove(self, name: str) -> None:
        """Forget a blob."""
        _remove(self._path(name))

    def _load(self, name: str) -> Iterator[Record]:
        try:
            content = json.loads(_read(self._path(name)))
            if content["name"] == name:
                yield from map(Record.parse, content["records"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return  # none, or spoilt by hand: then the file speaks for itself

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, hashlib.sha256(name.encode()).hexdigest()[:40] + ".json")


def _read(path: str) -> bytes:
    descriptor = open_plain(path)
    try:
        return os.read(descriptor, _LONGEST)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)
