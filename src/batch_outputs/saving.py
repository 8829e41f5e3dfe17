"""The way of an output into its container: over what is there or not, and many small ones quickly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

from batch_outputs.content_types import guess_content_type
from batch_outputs.crew import Work, work_off
from batch_outputs.errors import BatchOutputsError, BlobNotFoundError, WrongBlobTypeError
from batch_outputs.job_container import JobContainer
from batch_outputs.names import OutputName
from batch_outputs.outputs import OutputFileReference
from batch_outputs.putting import put_file, put_quickly
from batch_outputs.sources import Source
from batch_outputs.stop import Stop
from batch_outputs.stores.base import BlobProperties, BlockingCalls

_WORTH_A_CREW = 4
"""Files; fewer are as quick in the ordinary way."""


class Saving:
    """Puts outputs into a job's container; `reference` makes what is given back of a name and what is stored."""

    def __init__(
        self, container: JobContainer, reference: Callable[[OutputName, BlobProperties | None], OutputFileReference]
    ) -> None:
        self._container = container
        self._reference = reference

    async def file(
        self,
        output: OutputName,
        path: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replace_log: bool = False,
    ) -> OutputFileReference:
        """Save a verified copy of one moment of a file; see `OutputStorage.save`."""
        type_ = content_type or guess_content_type(output.name)

        async def put() -> BlobProperties:
            return await put_file(self._container.store, output.blob_name, path, content_type=type_, metadata=metadata)

        return await self._put(output, put, replace_log=replace_log)

    async def data(
        self,
        output: OutputName,
        data: bytes,
        *,
        content_type: str | None,
        metadata: Mapping[str, str] | None,
        replace_log: bool,
    ) -> OutputFileReference:
        """Save bytes; see `OutputStorage.save_bytes`."""
        type_ = content_type or guess_content_type(output.name)

        async def put() -> BlobProperties:
            written = await self._container.store.put(output.blob_name, data, content_type=type_, metadata=metadata)
            return BlobProperties(
                output.blob_name, len(data), written.etag, written.last_modified, type_, dict(metadata or {})
            )

        return await self._put(output, put, replace_log=replace_log)

    def at_once(
        self,
        sources: Sequence[Source],
        named: Callable[[Source], OutputName],
        note: Callable[[Source, OutputFileReference], object],
    ) -> Sequence[Source]:
        """Save files by calls that block, without an event loop, as long as nothing is in the way; what is left."""
        try:
            calls = self._container.calls_at_hand()
        except BatchOutputsError:
            return sources  # each of them will say what is wrong
        if calls is None:
            return sources
        left: list[Source] = []
        stop = Stop()

        def told(source: Source, reference: OutputFileReference | None) -> None:
            if reference is None:
                left.append(source)
            else:
                note(source, reference)

        work_off(sources, self._by(calls, named, stop), told, stop)
        return left

    async def quickly(
        self,
        sources: Sequence[Source],
        named: Callable[[Source], OutputName],
        note: Callable[[Source, OutputFileReference], object],
    ) -> Sequence[Source]:
        """The same on an event loop, for many; what is left."""
        if len(sources) < _WORTH_A_CREW:
            return sources
        from batch_outputs.transfer import Quickly, for_each_quickly

        try:
            await self._container.prepare_to_write()
            calls = await self._container.store.blocking_calls()
        except BatchOutputsError:
            return sources  # each of them will say what is wrong
        if calls is None:
            return sources
        stop = Stop()
        return await for_each_quickly(sources, Quickly(self._by(calls, named, stop), note, stop))

    def _by(
        self, calls: BlockingCalls, named: Callable[[Source], OutputName], stop: Stop
    ) -> Work[Source, OutputFileReference]:
        """What a crew does for each file."""

        def save(source: Source) -> Generator[int, None, OutputFileReference | None]:
            output = named(source)
            type_ = guess_content_type(output.name)
            properties = yield from put_quickly(
                calls, output.blob_name, source.path, content_type=type_, metadata=None, stop=stop
            )
            return None if properties is None else self._reference(output, properties)

        return save

    async def _put(
        self, output: OutputName, put: Callable[[], Awaitable[BlobProperties]], *, replace_log: bool
    ) -> OutputFileReference:
        await self._container.prepare_to_write()
        if replace_log:
            await self._delete_log(output.blob_name)
        try:
            properties = await put()
        except WrongBlobTypeError as error:
            place = self._container.location.place
            raise WrongBlobTypeError(
                f"{output.blob_name} in {place} is a tracked log, which a save does not replace; "
                "choose another name, or ask for it with replace_log=True (--replace-log).",
                place=place,
                blob=output.blob_name,
                code=error.code,
            ) from error
        return self._reference(output, properties)

    async def _delete_log(self, blob_name: str) -> None:
        from batch_outputs.deleting import delete_stored
        from batch_outputs.stored import with_parts

        store = self._container.store
        try:
            found = await store.properties(blob_name)
        except BlobNotFoundError:
            return
        if found.blob_type == "append":
            await delete_stored(store, await with_parts(store, found), unchanged=True)
