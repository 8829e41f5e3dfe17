"""The one protocol behind which bytes live: blobs by name in a container, containers in an account.

A store knows names and bytes, and nothing of jobs, tasks or kinds. Its errors are `StoreError`s. Names are any text
that Azure Blob Storage takes: `/` separates, everything else is literal.

An open store belongs to the event loop it was first used on. Requests that repeat without harm are repeated by the
store for a while when the service does not answer. `create_append` and `append` never are: after
`StoreUnavailableError` the caller reads back what was done, unless it is a `StoreBusyError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from batch_outputs.location import Account, StoreLocation

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from batch_outputs.stop import Stop

BlobType: TypeAlias = Literal["block", "append"]


@dataclass(slots=True)  # a frozen one takes four times as long to make, and listings make very many
class BlobProperties:
    """What a store knows of a blob. Nobody changes one.

    `etag` is opaque and changes with every change. `size` is in bytes. `metadata` keys are as written (services compare
    them without case). `blocks` is how many appends an append blob has had; None where the store does not count them,
    and in listings. `md5` is the digest (16 bytes) that whoever stored the blob sent along; None where nobody did.
    """

    name: str
    size: int
    etag: str
    last_modified: datetime
    content_type: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    blob_type: BlobType = "block"
    blocks: int | None = field(default=None, compare=False)
    md5: bytes | None = field(default=None, compare=False)


class BlobPrefix(NamedTuple):
    """What `list_level` shows instead of all blobs below it; `name` ends with `/`."""

    name: str


class Page(NamedTuple):
    """Some entries of a listing, by name; `after` asks for the next ones, and is None where there are no more."""

    entries: tuple[BlobProperties | BlobPrefix, ...]
    after: str | None


class Written(NamedTuple):
    """What a write left behind."""

    etag: str
    last_modified: datetime


class Readable(Protocol):
    """Content of known length for a `put`, read from front to back, perhaps several times.

    The read that reaches the end raises when what was read is no longer one moment of the source; a store makes nothing
    visible before it has read to the end.
    """

    @property
    def size(self) -> int:
        """Length in bytes; fixed."""

    def read(self, length: int, /) -> bytes:
        """The next `length` bytes; fewer only at the end, and `b""` after it."""

    def rewind(self) -> None:
        """Begin again at the first byte."""


class BlockingCalls(Protocol):
    """Quick calls of a store for worker threads, for many blobs at a time.

    Each may leave its work undone, or raise whatever it likes; the store's own methods then do it, or say why not. When
    `stop` is set nobody needs it any more.
    """

    def put(
        self,
        name: str,
        content: Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> Written | None:
        """As `Store.put`; None if it was not done. Errors of `content` come through unchanged."""

    def begin_put(
        self,
        name: str,
        content: Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        stop: Stop | None = None,
    ) -> Callable[[], Written | None]:
        """The same in two steps: what is returned is to be called in any case, and gives what `put` does.

        Between the two the caller may do other things while the service works; the content is needed until the end.
        """

    def read(self, name: str, *, offset: int, size: int, etag: str, stop: Stop | None = None) -> Generator[Buffer]:
        """The bytes from `offset` to `size` of the block blob with this ETag; ends early where it cannot go on.

        With a `stop` that is soon once it is set, whatever the service does. A piece is good until the next one is
        asked for: its memory is used again.
        """

    def begin_read(self, name: str, *, size: int, etag: str, stop: Stop) -> Generator[Buffer]:
        """As `read`, of a whole blob of at most 8 MiB, which is asked for at once.

        Until it is read, which it is to be in any case, the caller may do other things while the service works.
        """

    def pour(
        self,
        name: str,
        file: int,
        *,
        offset: int,
        size: int,
        etag: str,
        stop: Stop,
        moved: Callable[[int], object],
        whole: Callable[[int], object],
    ) -> None:
        """As `read`, into an open file, each byte where it belongs, and in any order; an `OSError` is the file's.

        `moved` hears now and then how many bytes have come, `offset` counted in; `whole` up to where the file has no
        gaps, which is what counts in the end. Any thread may call them, one at a time.
        """

    def begin_pour(self, name: str, *, size: int, etag: str, stop: Stop) -> Callable[[int], bool]:
        """As `begin_read`, into an empty open file, which what is returned takes; it says whether all is there."""


class Store(Protocol):
    """One container."""

    @property
    def location(self) -> StoreLocation:
        """Where this store is."""

    async def put(
        self,
        name: str,
        content: bytes | Readable,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Written:
        """Store a whole block blob: all of it, or, on any error, what was there before.

        A file there is replaced; an append blob there is refused with `WrongBlobTypeError`. (Azure does that; the
        Azurite emulator does not.) Errors of `content` come through unchanged.
        """

    def calls_at_hand(self) -> BlockingCalls | None:
        """As `blocking_calls`, for who has no event loop; None also where something would have to be waited for."""

    def blocking_lists(self) -> AbstractContextManager[None]:
        """A block in which what `list` gives is waited for by blocking, also without an event loop; see `stepping`.

        A listing may be gone on with on an event loop behind the block.
        """

    def close_calls(self) -> None:
        """Close what these have opened; for who has used nothing else of the store."""

    async def blocking_calls(self) -> BlockingCalls | None:
        """Quick calls for worker threads, as long as the store is open; None where there are none now."""

    async def create_append(
        self,
        name: str,
        *,
        content_type: str | None = None,
        metadata: Mapping[str, str] | None = None,
        replaces: str | None = None,
    ) -> Written:
        """Create an empty append blob.

        Without `replaces` only if nothing is there (`BlobExistsError`), with it only over the blob of that ETag
        (`BlobChangedError`).
        """

    async def append(self, name: str, data: bytes, *, offset: int, etag: str) -> Written:
        """Append `data` (1 byte to 4 MiB) if the blob has exactly `offset` bytes and this ETag.

        Otherwise `BlobChangedError`, and nothing is appended.
        """

    async def properties(self, name: str) -> BlobProperties:
        """What is known of a blob."""

    def read(
        self, name: str, *, offset: int = 0, length: int | None = None, etag: str | None = None
    ) -> AsyncIterator[bytes]:
        """The blob's bytes from `offset`, as many as `length` or to the end, in pieces of at most 4 MiB.

        An `offset` at or past the end gives nothing. With `etag`, a blob that has changed, also midway, gives
        `BlobChangedError`. Fewer bytes than the blob has in the range is an error, never a silent end.
        """

    def list(self, prefix: str = "") -> AsyncIterator[BlobProperties]:
        """All blobs whose name begins with `prefix`, by name, page by page as they are asked for, with metadata."""

    def list_level(self, prefix: str = "") -> AsyncIterator[BlobProperties | BlobPrefix]:
        """One level of names: blobs with no `/` behind `prefix`, and a `BlobPrefix` for all that share one."""

    async def list_page(
        self, prefix: str = "", *, one_level: bool = False, after: str | None = None, limit: int = 5000
    ) -> Page:
        """As `list` or, with `one_level`, `list_level`: at most `limit` entries (at most 5,000), and where to go on.

        `after` is what the page before said, and means nothing else. An empty page is the last.
        """

    async def set_metadata(self, name: str, metadata: Mapping[str, str], *, etag: str | None = None) -> Written:
        """Replace a blob's metadata; with `etag` only if the blob still has it (`BlobChangedError`)."""

    async def copy(self, source: str, target: str, *, etag: str | None = None) -> Written:
        """Copy a blob with content type and metadata to a name where nothing is (`BlobExistsError`), and wait for it.

        With `etag` only while the source still has it (`BlobChangedError`).
        """

    async def delete(self, name: str, *, etag: str | None = None) -> None:
        """Delete a blob; with `etag` only if it still has it."""

    async def aclose(self) -> None:
        """Give back connections and threads. The store is of no use afterwards."""


class ContainerProperties(NamedTuple):
    """What an account knows of a container."""

    name: str
    last_modified: datetime
    metadata: Mapping[str, str]


class StoreAccount(Protocol):
    """The containers of an account."""

    @property
    def account(self) -> Account:
        """Where this account is."""

    def list_containers(self, prefix: str = "") -> AsyncIterator[ContainerProperties]:
        """All containers whose name begins with `prefix`, by name."""

    async def create_container(self, name: str, *, metadata: Mapping[str, str] | None = None) -> bool:
        """Create a container; False if it was there already (and is left as it is)."""

    async def delete_container(self, name: str) -> bool:
        """Delete a container with all that is in it; False if there was none."""

    async def signed_url(self, name: str, *, permissions: str, expires: datetime) -> str:
        """A container's URL that gives access by itself, with these `permissions` (the letters of a SAS) until then.

        A folder's is its `file:` URL, which gives no more access than there is. Nothing is looked up: the container
        need not exist. The URL is a secret.
        """

    def open(self, container: str) -> Store:
        """The store of one container, without a request."""

    async def aclose(self) -> None:
        """Give back connections and threads."""
