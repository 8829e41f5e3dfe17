"""Upload rules: what a node uploads when a task has ended, by the rules that `run --save` follows too."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio
from anyio import to_thread

from batch_outputs.content_types import guess_content_type
from batch_outputs.desk.job import UploadRule
from batch_outputs.desk.storage import DeskStorage
from batch_outputs.errors import BatchOutputsError, BlobNotFoundError, SourceNotFoundError, WrongBlobTypeError
from batch_outputs.location import StoreLocation
from batch_outputs.patterns import has_wildcard
from batch_outputs.putting import put_file
from batch_outputs.sources import Folders, Source, find_sources
from batch_outputs.stores import open_store
from batch_outputs.stores.base import Store
from batch_outputs.transfer import for_each


@dataclass(slots=True)
class Uploaded:
    """What came of a task's upload rules: blob names, the files that could not be uploaded, and rules without files."""

    blobs: list[str] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


async def upload(
    rules: Sequence[UploadRule], exit_code: int | None, working: str, environ: Mapping[str, str], storage: DeskStorage
) -> Uploaded:
    """Upload what each rule names that is for this end of a task. All are tried, whatever becomes of one."""
    done = Uploaded()
    for rule in rules:
        if rule.when == "completion" or (exit_code == 0) == (rule.when == "success"):
            try:
                await _upload(rule, working, environ, storage, done)
            except BatchOutputsError as error:
                done.failures.append(error)
    return done


async def _upload(
    rule: UploadRule, working: str, environ: Mapping[str, str], storage: DeskStorage, done: Uploaded
) -> None:
    location = storage.job_container
    if rule.container_url is not None:
        location = storage.location_of(rule.container_url, f"{rule.place}: the container URL")
    sources = await to_thread.run_sync(_find, rule, working, environ, done)
    store = open_store(location)

    async def put(source: Source) -> None:
        await _refuse_log(store, source.name, location)
        content_type = rule.content_type or guess_content_type(source.name)
        await put_file(store, source.name, source.path, content_type=content_type, metadata=None)
        done.blobs.append(source.name)

    try:
        results = await for_each(sources, put)
    finally:
        with anyio.CancelScope(shield=True):
            await store.aclose()
    done.failures += [result for result in results if isinstance(result, Exception)]
    done.blobs.sort()


def _find(rule: UploadRule, working: str, environ: Mapping[str, str], done: Uploaded) -> Sequence[Source]:
    """The files of a rule; without a path the blob has the file's name, or the way to it from the first wildcard."""
    wanted = rule.path
    if wanted is None:
        wanted = "" if has_wildcard(rule.pattern) else os.path.basename(rule.pattern.rstrip("/")) or rule.pattern
    sources, problems = find_sources([rule.pattern], Folders(base=working), environ, wanted)
    for problem in problems:
        if isinstance(problem, SourceNotFoundError):
            done.unmatched.append(rule.pattern)
        else:
            done.failures.append(problem)
    return sources


async def _refuse_log(store: Store, name: str, location: StoreLocation) -> None:
    """Not every store refuses it by itself, as the service does."""
    try:
        there = await store.properties(name)
    except BlobNotFoundError:
        return
    if there.blob_type == "append":
        raise WrongBlobTypeError(
            f"{name} is a log that was saved while it grew, which the service's upload cannot replace; leave out the "
            "upload rule, or upload to another name.",
            place=location.place,
            blob=name,
        )
