"""Every error this library raises by itself, as one tree.

    BatchOutputsError            anything below
    ├── ConfigurationError       where outputs go, or as whom, is not said or said wrongly
    ├── InvalidNameError         a name, kind or id cannot be used (refused before any request)
    ├── SourceError              a local file cannot be saved as it is
    │   ├── SourceNotFoundError  a path or pattern leads to no file
    │   └── FileChangedError     it kept changing while it was read
    ├── TargetError              a local file cannot be written by a download
    ├── TemplateError            a job template or its parameters have a mistake, at a place that is named
    ├── LogNotSavedError         a tracked save ended with bytes that could not be stored
    └── StoreError               a store refused a request or did not answer
        ├── BlobNotFoundError
        ├── ContainerNotFoundError
        ├── BlobExistsError      something is there already, and nothing may be replaced
        ├── BlobChangedError     the blob is no longer what the request was made for
        │   └── LogLostError     a tracked log's blob was taken over, spoilt or deleted by somebody else
        ├── WrongBlobTypeError   a tracked log stands where a file should go, or the reverse
        ├── AccessDeniedError    the credential is wrong, expired or too weak
        └── StoreUnavailableError   no usable answer: whether it was carried out is unknown
            └── StoreBusyError      it has too much to do at present: nothing was done

Each message is one sentence or two: what, why, and what to do next. Facts are attributes. No message, attribute or
cause holds a key, a token or the signature of a SAS.
"""

from __future__ import annotations

import os


class BatchOutputsError(Exception):
    """The root of all errors of this library; its text is made for people."""


class ConfigurationError(BatchOutputsError):
    """Where outputs are stored, or how access is had, is missing, malformed or contradictory.

    `variable` names the environment variable or option to look at, where there is one.
    """

    def __init__(self, message: str, *, variable: str | None = None) -> None:
        super().__init__(message)
        self.variable = variable


class InvalidNameError(BatchOutputsError, ValueError):
    """A job id, task id, kind or output name that cannot be used; nothing was changed."""

    def __init__(self, message: str, *, name: str) -> None:
        super().__init__(message)
        self.name = name


class SourceError(BatchOutputsError):
    """The local file at `path` cannot be saved: missing, unreadable, not a regular file, or changing."""

    def __init__(self, message: str, *, path: str | os.PathLike[str]) -> None:
        super().__init__(message)
        self.path: str = os.fspath(path)


class SourceNotFoundError(SourceError):
    """There is no file at `path`, or none matches it as a pattern."""


class FileChangedError(SourceError):
    """The file at `path` changed each time it was read, so no single moment of it could be saved."""


class TargetError(BatchOutputsError):
    """The local file or folder at `path` cannot be written."""

    def __init__(self, message: str, *, path: str | os.PathLike[str]) -> None:
        super().__init__(message)
        self.path: str = os.fspath(path)


class TemplateError(BatchOutputsError):
    """A template of a job, or a value for one of its parameters, cannot be used; nothing was done.

    `file` is what it was read from, `line` and `column` (counted from 1) where in it the value begins, and `path` the
    way to the value, such as `job.properties.taskFactory.parameterSets[0].step`; each is None where there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: int | None = None,
        path: str | None = None,
    ) -> None:
        super().__init__(message)
        self.file = file
        self.line = line
        self.column = column
        self.path = path


class LogNotSavedError(BatchOutputsError):
    """A tracked save ended before all of its file was stored.

    `path` is the file, `blob` its name in storage, `saved` the bytes stored (a correct beginning of the file) and
    `pending` the bytes that are only on this disk.
    """

    def __init__(self, message: str, *, path: str, blob: str, saved: int, pending: int) -> None:
        super().__init__(message)
        self.path = path
        self.blob = blob
        self.saved = saved
        self.pending = pending


class StoreError(BatchOutputsError):
    """A store refused a request, or the request failed.

    `place` is the container as people know it (`account.blob.core.windows.net/job-x` or a folder), `blob` the blob
    where it was about one, `code` the service's own error code where it gave one.
    """

    def __init__(
        self,
        message: str,
        *,
        place: str,
        blob: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.place = place
        self.blob = blob
        self.code = code


class BlobNotFoundError(StoreError):
    """There is no blob of that name."""


class ContainerNotFoundError(StoreError):
    """The container does not exist."""


class BlobExistsError(StoreError):
    """A blob of that name exists and the request was to create it only if absent."""


class BlobChangedError(StoreError):
    """The blob's ETag or length is not the one the request was made for; nothing was changed."""


class LogLostError(BlobChangedError):
    """The blob of a tracked log is no longer its writer's to append to.

    Another writer has taken it over, it holds bytes of somebody else, or it was deleted. The tracked save goes on.
    """


class WrongBlobTypeError(StoreError):
    """A tracked log (append blob) stands where a file (block blob) should go, or the other way round."""


class AccessDeniedError(StoreError):
    """The store refused the credential: wrong, expired, not yet valid, or without the permission needed."""


class StoreUnavailableError(StoreError):
    """The store gave no usable answer; whether a change was carried out is not known, but for a `StoreBusyError`.

    `retry_after` is how many seconds the service asked to wait, where it did.
    """

    def __init__(
        self,
        message: str,
        *,
        place: str,
        blob: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, place=place, blob=blob, code=code)
        self.retry_after = retry_after


class StoreBusyError(StoreUnavailableError):
    """The store itself said that it has too much to do at present; nothing was carried out."""
