"""The services that contenders work on: Azurite, which keeps what it gets, and the sink, which only counts."""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias
from urllib.parse import quote, urlsplit

from benchmarks.data import Data
from benchmarks.errors import BenchmarkError
from benchmarks.https import running_https
from benchmarks.measuring import MIB
from benchmarks.sink import CHECKED, Sink, running_sink
from support.azurite import ACCOUNT, KEY, Azurite, Container, running_azurite
from support.certificates import self_signed

ServiceName: TypeAlias = Literal["Azurite", "sink"]

_WARM_SMALL = 600
_WARM_LARGE = 8
_AT_ONCE = 8
_MARK = "mark-"


@dataclass(frozen=True)
class Traffic:
    """What a service has had since it was told to count; bytes with the heads of requests, None if it counts none."""

    requests: int
    sent: int | None


class Service(Protocol):
    """One of the services, fresh for each run of a contender."""

    @property
    def name(self) -> ServiceName:
        """How tables call it."""

    def fresh(self, *, check: bool) -> Container:
        """An empty container, with `check` one of which `wrong` can compare the bytes."""

    def count(self) -> None:
        """Begin to count what comes; `fresh` does so, too."""

    def traffic(self) -> Traffic:
        """What has come since then."""

    def facing(self, container: Container) -> Container:
        """A container as contenders are to reach it: the same, or by https."""

    @property
    def trust(self) -> Mapping[str, str]:
        """Variables by which programs trust it."""

    def wrong(self, container: Container, data: Data, prefix: str, *, check: bool) -> list[str]:
        """Names of what is not stored as it should be: `data` below `prefix`, and nothing else.

        Without `check` that is told by names and sizes as far as the service knows them.
        """


@dataclass(frozen=True)
class _Encrypted(Azurite):
    """What speaks https for one of them, by address."""

    @property
    def endpoint(self) -> str:
        """The account's blob endpoint."""
        return f"https://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """For clients that take one."""
        return f"DefaultEndpointsProtocol=https;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint};"


class Https:
    """A certificate, and servers that speak https with it for others."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._certificate = self_signed(folder, "127.0.0.1")

    @property
    def trust(self) -> Mapping[str, str]:
        """Variables by which programs trust it."""
        return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"), str(self._certificate[0]))

    @contextmanager
    def before(self, server: Azurite) -> Iterator[Azurite]:
        """The same server by https."""
        with running_https(Path(tempfile.mkdtemp(dir=self._folder)), server.port, self._certificate) as port:
            yield _Encrypted(port, server.log)


class AzuriteService:
    """An Azurite that is started anew for each run, as what has been stored makes it slower and is not freed.

    With `keep` it is one for all runs instead, which is quick, and worth no number.
    """

    name: ServiceName = "Azurite"

    def __init__(self, folder: Path, *, keep: bool, https: Https | None = None) -> None:
        self._keep = keep
        self._https = https
        self._encrypted: Azurite | None = None
        self.trust: Mapping[str, str] = {} if https is None else https.trust
        self._log = folder / "azurite.log"
        self._azurite: Azurite | None = None
        self._stack = ExitStack()
        self._had = 0
        folder.mkdir(parents=True, exist_ok=True)

    def fresh(self, *, check: bool) -> Container:
        """See `Service`; a new server has taken some requests before, as its first ones are slow."""
        if self._azurite is None or not self._keep:
            self.close()
            self._azurite = self._stack.enter_context(running_azurite(self._log))
            if self._https is not None:
                self._encrypted = self._stack.enter_context(self._https.before(self._azurite))
            _warm(self._azurite)
        container = self._azurite.new_container(f"job-{uuid.uuid4().hex}")
        self.count()
        return container

    def count(self) -> None:
        """See `Service`."""
        if self._azurite is not None:
            self._had = requests_of(self._azurite)

    def traffic(self) -> Traffic:
        """See `Service`."""
        had = 0 if self._azurite is None else requests_of(self._azurite)
        return Traffic(had - self._had, None)

    def facing(self, container: Container) -> Container:
        """See `Service`."""
        return _by_way_of(self._encrypted, container)

    def wrong(self, container: Container, data: Data, prefix: str, *, check: bool) -> list[str]:
        """See `Service`."""
        sizes = {blob.name: blob.size for blob in container.client.list_blobs()}
        wrong = [name for name in sizes if name.removeprefix(prefix) not in data.files]
        wrong += [name for name in data.files if sizes.get(prefix + name) != data.each]
        if check and not wrong:
            found = read_md5(container, {name: prefix + name for name in data.files})
            wrong += [name for name, md5 in data.md5.items() if found[name] != md5]
        return sorted(wrong)

    def close(self) -> None:
        """Stop the server."""
        self._stack.close()


class SinkService:
    """The sink, one server for all runs."""

    name: ServiceName = "sink"

    def __init__(self, sink: Sink, encrypted: Azurite | None = None, trust: Mapping[str, str] | None = None) -> None:
        self.sink = sink
        self.trust: Mapping[str, str] = trust or {}
        self._encrypted = encrypted

    def fresh(self, *, check: bool) -> Container:
        """See `Service`."""
        self.count()
        return Container(_as_azurite(self.sink), f"{CHECKED if check else 'job-'}{uuid.uuid4().hex}")

    def count(self) -> None:
        """See `Service`."""
        self.sink.reset()

    def traffic(self) -> Traffic:
        """See `Service`."""
        counts = self.sink.counts()
        return Traffic(counts.total, counts.sent)

    def facing(self, container: Container) -> Container:
        """See `Service`."""
        return _by_way_of(self._encrypted, container)

    def wrong(self, container: Container, data: Data, prefix: str, *, check: bool) -> list[str]:
        """See `Service`."""
        stored = self.sink.counts().stored
        if stored != data.size:
            return [f"({stored:,} bytes came instead of {data.size:,})"]
        return self.sink.wrong({prefix + name: path for name, path in data.files.items()}) if check else []


class Services:
    """Each of them, started when it is first asked for."""

    def __init__(self, folder: Path, stack: ExitStack, *, quick: bool, https: bool = False) -> None:
        self._folder = folder
        self._https = Https(folder / "https") if https else None
        self._quick = quick
        self._stack = stack
        self._azurite: AzuriteService | None = None
        self._sink: SinkService | None = None

    @property
    def azurite(self) -> AzuriteService:
        """Azurite."""
        if self._azurite is None:
            self._azurite = AzuriteService(self._folder / "azurite", keep=self._quick, https=self._https)
            self._stack.callback(self._azurite.close)
        return self._azurite

    @property
    def sink(self) -> SinkService:
        """The sink."""
        if self._sink is None:
            sink = self._stack.enter_context(running_sink(self._folder / "sink"))
            if self._https is None:
                self._sink = SinkService(sink)
            else:
                encrypted = self._stack.enter_context(self._https.before(_as_azurite(sink)))
                self._sink = SinkService(sink, encrypted, self._https.trust)
        return self._sink

    def named(self, name: ServiceName) -> Service:
        """One of them by its name."""
        return self.sink if name == "sink" else self.azurite


@contextmanager
def services(folder: Path, *, quick: bool, https: bool = False) -> Iterator[Services]:
    """All services, stopped at the end; with `quick` they are not started anew, with `https` they are reached by it."""
    with ExitStack() as stack:
        yield Services(folder, stack, quick=quick, https=https)


def _by_way_of(encrypted: Azurite | None, container: Container) -> Container:
    return container if encrypted is None else Container(encrypted, container.name)


def _as_azurite(sink: Sink) -> Azurite:
    """It answers under the account's name as Azurite does, so its containers can be called in the same way."""
    return Azurite(sink.port, sink.folder / "output")


def requests_of(azurite: Azurite) -> int:
    """How many requests an Azurite has had, but for those by which it is asked here.

    It writes them down a little later than it answers, in their order: when it has written down ours, all others are
    there.
    """
    name = f"{_MARK}{uuid.uuid4().hex}"
    with closing(http.client.HTTPConnection("127.0.0.1", azurite.port, timeout=60)) as connection:
        connection.request("GET", f"/{ACCOUNT}/{name}?restype=container")
        connection.getresponse().read()
    deadline = time.monotonic() + 60
    while name.encode() not in (log := azurite.log.read_bytes()):
        if time.monotonic() > deadline:
            raise BenchmarkError("Azurite does not write down what it is asked for")
        time.sleep(0.01)  # it gives no other sign
    return sum(b'"' in line and _MARK.encode() not in line for line in log.splitlines())


def read_md5(container: Container, names: Mapping[str, str]) -> dict[str, str]:
    """The checksums of blobs, read by plain HTTP: `names` has the blobs by what they are called in the answer."""
    at = urlsplit(container.url)
    sas = container.sas("r")
    with ExitStack() as stack, ThreadPoolExecutor(_AT_ONCE) as pool:
        # One for each thread: whoever takes one out has it alone.
        idle: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()
        for _ in range(_AT_ONCE):
            idle.put(stack.enter_context(closing(http.client.HTTPConnection(at.netloc, timeout=60))))

        def one(blob: str) -> str:
            connection = idle.get()
            try:
                connection.request("GET", f"{at.path}/{quote(blob)}?{sas}")
                answer = connection.getresponse()
                md5 = hashlib.md5(usedforsecurity=False)
                while piece := answer.read(MIB):
                    md5.update(piece)
                return md5.hexdigest()
            finally:
                idle.put(connection)

        return dict(zip(names, pool.map(one, names.values()), strict=True))


def _warm(azurite: Azurite) -> None:
    container = azurite.new_container("warm").client
    small, large = os.urandom(4096), os.urandom(4 * MIB)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for number in range(_WARM_SMALL):
            pool.submit(container.upload_blob, f"small/{number}", small)
        for number in range(_WARM_LARGE):
            pool.submit(container.get_blob_client("large").stage_block, f"{number:04}", large)
