"""Where outputs go: read from arguments, URLs and the environment, in that order of weight.

Everything is checked here, before any work is done; nothing is requested. Messages name variables and hosts and never
show what follows the `?` of a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from batch_outputs.credentials import (
    access_from_credential,
    account_name_of,
    is_sas,
    key_access,
    names_account_in_path,
    sas_access,
)
from batch_outputs.environment import on_node
from batch_outputs.errors import ConfigurationError
from batch_outputs.location import (
    Access,
    Account,
    AzureAccount,
    DirectoryAccount,
    KeyAccess,
    SasAccess,
    SasFileAccess,
    StoreLocation,
    TokenAccess,
    is_container_name,
)
from batch_outputs.names import job_container_name

EMBEDDED_FOLDER = "batch-outputs"
EMBEDDED_JOB = "local"
EMBEDDED_TASK = "task"

CONTAINER_URL = "BATCH_OUTPUTS_CONTAINER_URL"
ACCOUNT_URL = "BATCH_OUTPUTS_ACCOUNT_URL"

METADATA_URL = "BATCH_OUTPUTS_METADATA_URL"
_INSTANCE_METADATA = "http://169.254.169.254"
_PLAIN_HTTP = re.compile(r"http://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(\d{1,5}))?")

WHAT_TO_SET = (
    f"set {CONTAINER_URL} (a container's URL, with or without a SAS), {ACCOUNT_URL} (an account's URL), "
    "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
)

_ACCOUNT_NAME = re.compile(r"[A-Za-z0-9]{3,24}(?:-secondary)?")
_HOST = re.compile(r"[a-z0-9:][a-z0-9._:-]*")
_LONGEST_PLAIN_TEXT = 63
_LAST_PORT = 65535
# The emulator's account and key are published constants, the same on every machine.
_EMULATOR = KeyAccess(
    "devstoreaccount1", "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)


class Target(NamedTuple):
    """An account, and a container in it where that is already certain.

    `embedded` marks the folder that is used when nothing is configured: there, and only there, job and task have names
    of their own and containers come by themselves.
    """

    account: Account
    container: str | None = None
    embedded: bool = False

    def check_job(self, job_id: str) -> None:
        """Make sure that a job named beside a configured container is that container's.

        Raises:
            ConfigurationError: the container is another job's.
        """
        container = self.container
        if container is not None and container.startswith("job-") and container != job_container_name(job_id):
            raise ConfigurationError(
                f"The job {job_id} has the container {job_container_name(job_id)}, but {container} is configured; "
                "leave out the job, or configure the account instead of a container.",
                variable=CONTAINER_URL,
            )

    def location(self, job_id: str | None) -> StoreLocation:
        """The container of a job; a container that was configured holds for every job.

        Raises:
            ConfigurationError: the container follows from the job, and no job is named.
        """
        if self.container is not None:
            return StoreLocation(self.account, self.container)
        job = job_id or (EMBEDDED_JOB if self.embedded else None)
        if job is None:
            raise ConfigurationError(
                "No job is named, so its container is not known; name the job (--job, or AZ_BATCH_JOB_ID).",
                variable="AZ_BATCH_JOB_ID",
            )
        return StoreLocation(self.account, job_container_name(job))

    @property
    def place(self) -> str:
        """What it leads to, for people: a host, perhaps with a container, or a folder; never with a secret."""
        if self.container is not None:
            return self.account.place(self.container)
        if isinstance(self.account, DirectoryAccount):
            return str(self.account.root)
        return self.account.endpoint.partition("://")[2]

    def folder(self, container: str) -> str | None:
        """The folder that everything is stored in, if it is one: the container's, or that of the whole account."""
        if not isinstance(self.account, DirectoryAccount):
            return None
        return os.path.abspath(self.account.root if self.container is None else self.account.root / container)

    def task(self, task_id: str | None) -> str:
        """The task id to use.

        Raises:
            ConfigurationError: no task is named.
        """
        task = task_id or (EMBEDDED_TASK if self.embedded else None)
        if task is None:
            raise ConfigurationError(
                "No task is named (a start task has no id of its own); name one (--task, or AZ_BATCH_TASK_ID).",
                variable="AZ_BATCH_TASK_ID",
            )
        return task


def current_folder() -> str:
    """The current directory.

    Raises:
        ConfigurationError: it has been deleted.
    """
    try:
        return os.getcwd()
    except OSError:
        raise ConfigurationError("The current directory does not exist any more; change to another one.") from None


def metadata_url(environ: Mapping[str, str] | None = None) -> str:
    """Where the node's instance metadata service answers, which announces the end of a node; no `/` at the end.

    Raises:
        ConfigurationError: `BATCH_OUTPUTS_METADATA_URL` is not a plain http URL.
    """
    url = ((os.environ if environ is None else environ).get(METADATA_URL) or _INSTANCE_METADATA).strip().rstrip("/")
    found = _PLAIN_HTTP.fullmatch(url)
    if found is None or int(found[1] or 80) > _LAST_PORT:
        raise ConfigurationError(
            f"{METADATA_URL} is {shown(url)}; give http://HOST[:PORT], or leave it out for the node's own service.",
            variable=METADATA_URL,
        )
    return url


def read_url_file(path: str) -> str:
    """The URL that a file holds: its first line, stripped.

    Raises:
        ConfigurationError: the file cannot be read or is empty.
    """
    try:
        # What is not text comes out as something that is no URL; a decoding error would carry the content along.
        lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").strip().splitlines()
    except OSError as error:
        raise ConfigurationError(
            f"The file {path}, which should hold the URL of a container or account, cannot be read: "
            f"{error.strerror}; check what {CONTAINER_URL}_FILE or {ACCOUNT_URL}_FILE names."
        ) from error
    if not lines:
        raise ConfigurationError(f"The file {path} is empty; write the URL of a container or account into it.")
    return lines[0].strip()


def find_target(
    environ: Mapping[str, str] | None = None,
    *,
    container_url: str | None = None,
    account_url: str | None = None,
    credential: object | None = None,
    read_file: Callable[[str], str] = read_url_file,
) -> Target:
    """Where outputs go, from the arguments, else from the environment, else the embedded folder.

    Raises:
        ConfigurationError: what is set is malformed or contradictory, or nothing is set on a node.
    """
    variables = os.environ if environ is None else environ
    if container_url:
        target: Target | None = container_target(container_url, credential=credential)
    elif account_url:
        target = account_target(account_url, credential=credential)
    else:
        target = _own_variables(variables, credential, read_file) or _azure_variables(variables, credential)
    if target is not None:
        return target
    if on_node(variables):
        raise ConfigurationError(
            f"This is a Batch node and nothing says where outputs go; {WHAT_TO_SET}.", variable=CONTAINER_URL
        )
    if credential is not None:
        raise ConfigurationError(
            f"A credential is given, but no account or container for it; {WHAT_TO_SET}.", variable=CONTAINER_URL
        )
    return Target(DirectoryAccount(Path(current_folder(), EMBEDDED_FOLDER)), embedded=True)


def _own_variables(
    environ: Mapping[str, str], credential: object | None, read_file: Callable[[str], str]
) -> Target | None:
    for variable, parse in ((CONTAINER_URL, container_target), (ACCOUNT_URL, account_target)):
        file_variable = f"{variable}_FILE"
        if url := environ.get(variable):
            if environ.get(file_variable):
                raise ConfigurationError(f"{variable} and {file_variable} are both set; keep one.", variable=variable)
            return parse(url, credential=credential, variable=variable)
        if path := environ.get(file_variable):
            return parse(read_file(path), credential=credential, variable=file_variable, renewed_from=Path(path))
    return None


def _azure_variables(environ: Mapping[str, str], credential: object | None) -> Target | None:
    if text := environ.get("AZURE_STORAGE_CONNECTION_STRING"):
        account = account_from_connection_string(text, variable="AZURE_STORAGE_CONNECTION_STRING")
        given = access_from_credential(credential, account.endpoint)
        return Target(account._replace(access=given or account.access))
    name = environ.get("AZURE_STORAGE_ACCOUNT")
    endpoint = environ.get("AZURE_STORAGE_SERVICE_ENDPOINT")
    if not name and not endpoint:
        return None
    url = endpoint or f"https://{_host(name, 'core.windows.net', 'AZURE_STORAGE_ACCOUNT')}"
    access = access_from_credential(credential, url)
    if access is None and (key := environ.get("AZURE_STORAGE_KEY")):
        access = key_access(name or account_name_of(url), key, "AZURE_STORAGE_KEY")
    if access is None and (sas := environ.get("AZURE_STORAGE_SAS_TOKEN")):
        access = sas_access(sas, "AZURE_STORAGE_SAS_TOKEN")
    variable = "AZURE_STORAGE_SERVICE_ENDPOINT" if endpoint else "AZURE_STORAGE_ACCOUNT"
    return account_target(url, credential=access, variable=variable)


def container_target(
    url: str, *, credential: object | None = None, variable: str = "The container URL", renewed_from: Path | None = None
) -> Target:
    """One container from its URL: `https://account.blob.core.windows.net/job-x[?SAS]` or `file:///folder/job-x`.

    Raises:
        ConfigurationError: the URL is not one of these, or brings a SAS beside a `credential`.
    """
    parts = _split(url, variable)
    if parts.scheme == "file":
        folder = _folder(parts, variable)
        if not folder.name:
            raise ConfigurationError(
                f"{variable} names no container in {shown(url)}; add its folder.", variable=variable
            )
        return Target(DirectoryAccount(folder.parent), folder.name)
    base, segments = _endpoint(parts)
    if len(segments) != 1:
        raise ConfigurationError(
            f"{variable} should end in one container's name and is {shown(url)}; "
            "give it as https://ACCOUNT.blob.core.windows.net/CONTAINER.",
            variable=variable,
        )
    if not is_container_name(segments[0]):
        raise ConfigurationError(
            f"{variable} names the container {shown(segments[0])}; a container's name is 3 to 63 lower-case letters, "
            "digits and single hyphens.",
            variable=variable,
        )
    return Target(_azure_account(base, parts, credential, variable, renewed_from), segments[0])


def account_target(
    url: str, *, credential: object | None = None, variable: str = "The account URL", renewed_from: Path | None = None
) -> Target:
    """An account from its URL: `https://account.blob.core.windows.net[?SAS]`, or `file:///folder`.

    Raises:
        ConfigurationError: the URL is not one of these, or brings a SAS beside a `credential`.
    """
    parts = _split(url, variable)
    if parts.scheme == "file":
        return Target(DirectoryAccount(_folder(parts, variable)))
    base, segments = _endpoint(parts)
    if segments:
        raise ConfigurationError(
            f"{variable} should be an account's URL and has a path in {shown(url)}; "
            f"for one container use {CONTAINER_URL} or --container-url.",
            variable=variable,
        )
    return Target(_azure_account(base, parts, credential, variable, renewed_from))


def connection_string_target(text: str) -> Target:
    """An account from an Azure Storage connection string, as the portal shows it.

    Raises:
        ConfigurationError: it is malformed, or holds neither a key nor a SAS.
    """
    return Target(account_from_connection_string(text))


def account_from_connection_string(text: str, *, variable: str = "The connection string") -> AzureAccount:
    """An account from an Azure Storage connection string, as the portal shows it.

    Raises:
        ConfigurationError: it is malformed, or holds neither a key nor a SAS.
    """
    pairs = (part.partition("=") for part in text.strip().strip(";").split(";") if part.strip())
    fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        return AzureAccount(f"http://127.0.0.1:10000/{_EMULATOR.account_name}", _EMULATOR)
    name = fields.get("accountname", "")
    access: Access
    if sas := fields.get("sharedaccesssignature"):
        access = sas_access(sas, variable)
    elif (key := fields.get("accountkey")) and name:
        access = key_access(name, key, variable)
    else:
        raise ConfigurationError(
            f"{variable} holds neither AccountName with AccountKey nor SharedAccessSignature; "
            "copy it whole from the storage account's page.",
            variable=variable,
        )
    endpoint = fields.get("blobendpoint") or (
        f"{fields.get('defaultendpointsprotocol') or 'https'}://"
        f"{_host(name, fields.get('endpointsuffix') or 'core.windows.net', variable)}"
    )
    account = account_target(endpoint, credential=access, variable=variable).account
    if isinstance(account, DirectoryAccount):
        raise ConfigurationError(f"{variable} names no https endpoint.", variable=variable)
    return account


def _host(account_name: str | None, suffix: str, variable: str) -> str:
    if not account_name or not _ACCOUNT_NAME.fullmatch(account_name):
        raise ConfigurationError(
            f"{variable} should name a storage account by 3 to 24 letters and digits; check its spelling.",
            variable=variable,
        )
    return f"{account_name}.blob.{suffix}"


def carries_secret(url: str) -> bool:
    """Whether a URL brings a signature or a password that must not stand on a command line."""
    return "sig=" in url or "@" in url.partition("://")[2].partition("/")[0]


def shown(url: str) -> str:
    """A URL as a message may show it: without user, query or fragment.

    Text that could hold a SAS, a key or a connection string is not shown at all.
    """
    scheme, separator, rest = re.split(r"[?#]", url, maxsplit=1)[0].partition("://")
    host, slash, path = rest.partition("/")
    text = f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
    if re.search("[=;&]", unquote(unquote(text))) or (not separator and len(text) > _LONGEST_PLAIN_TEXT):
        return "something that is not shown here, as it may hold a secret"
    return repr(text)


def _split(url: str, variable: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        _ = parts.port  # a port that is no number is noticed only when it is asked for
    except ValueError:
        parts = SplitResult("", "", "", "", "")
    known = parts.scheme == "file" or (parts.scheme in {"https", "http"} and _HOST.fullmatch(parts.hostname or ""))
    if not known:
        raise ConfigurationError(
            f"{variable} is {shown(url)}, which is not a URL of a store; "
            "give https://ACCOUNT.blob.core.windows.net/… or file:///some/folder.",
            variable=variable,
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{variable} holds a user or password before the host; remove it.", variable=variable)
    return parts


def _folder(parts: SplitResult, variable: str) -> Path:
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{variable} has a ? or # in its path; write %3F or %23 for it.", variable=variable)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/") or "%00" in parts.path:
        raise ConfigurationError(
            f"{variable} is not an absolute folder; write it with three slashes: file:///some/folder.",
            variable=variable,
        )
    from urllib.request import url2pathname  # brings an HTTP client along: only where a folder is named

    return Path(url2pathname(parts.path))


def _endpoint(parts: SplitResult) -> tuple[str, list[str]]:
    segments = [unquote(segment) for segment in parts.path.strip("/").split("/") if segment]
    base = f"{parts.scheme}://{parts.netloc}"
    if segments and names_account_in_path(parts.hostname or ""):
        return f"{base}/{segments[0]}", segments[1:]
    return base, segments


def _azure_account(
    endpoint: str, parts: SplitResult, credential: object | None, variable: str, renewed_from: Path | None
) -> AzureAccount:
    if parts.fragment or (parts.query and not is_sas(parts.query)):
        raise ConfigurationError(
            f"{variable} has something behind its path that is not a SAS; check that it was copied whole.",
            variable=variable,
        )
    given = access_from_credential(credential, endpoint)
    if not parts.query:
        return AzureAccount(endpoint, given or TokenAccess())
    if given is not None:
        raise ConfigurationError(
            f"{variable} brings a SAS, and a credential is given too; keep one.", variable=variable
        )
    return AzureAccount(endpoint, SasFileAccess(renewed_from) if renewed_from else SasAccess(parts.query))
