"""A small server that answers like the Batch service, as far as submitting a job and watching its tasks goes.

    with BatchStub(certificate, node) as batch:
        ...                             # a client works with batch.url and batch.variables
        assert not batch.refusals

It speaks https with a certificate of its own, hands out the token that it then asks for, as the identity of a machine
in Azure gets it, and refuses what the service would refuse: other paths, versions of the API, media types and names of
properties. What becomes of the tasks is up to `node`, which is given the whole job.

It runs on threads of its own, so blocking and asynchronous tests use it alike.
"""

from __future__ import annotations

import json
import re
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias, cast
from urllib.parse import parse_qs, unquote, urlsplit

HOST = "localhost"
OLDEST_API = "2025-06-01"
AUDIENCE = "https://batch.core.windows.net"
MEDIA_TYPE = "application/json; odata=minimalmetadata"
AT_ONCE = 2
"""How many tasks a page of a listing holds; of the service, 1,000."""
TOKEN_PATH = "/identity/token"

# What the REST API knows of these objects, as far as a job of ours goes.
_JOB = {"id", "poolInfo", "constraints", "priority", "metadata", "usesTaskDependencies", "onAllTasksComplete"}
_JOB_CHANGES = {"onAllTasksComplete", "constraints", "priority", "metadata"}
_TASK = {"id", "commandLine", "environmentSettings", "constraints", "outputFiles", "resourceFiles", "dependsOn"}
_SETTING = {"name", "value"}
_OUTPUT_FILE = {"filePattern", "destination", "uploadOptions"}
_DESTINATION = {"containerUrl", "path", "identityReference", "uploadHeaders"}
_CONDITIONS = {"tasksuccess", "taskfailure", "taskcompletion"}
_ID = re.compile(r"[\w-]{1,64}", re.ASCII)

Json: TypeAlias = dict[str, Any]
Node: TypeAlias = Callable[[Json], Iterable[tuple[str, int]]]
"""Runs a job (REST JSON with its `tasks`); the id and the exit code of each task that it has run."""


class RefusedError(Exception):
    """What the service would not take, as it says so."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{status} {code}: {message}")
        self.status = status
        self.code = code
        self.message = message


@dataclass
class Job:
    """A job that was created, its tasks, and what has become of them."""

    facts: Json
    tasks: dict[str, Json] = field(default_factory=dict)
    started: bool = False
    exit_codes: dict[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> Json:
        """The job with its tasks, as one file may hold it."""
        return {**self.facts, "tasks": [task for _, task in sorted(self.tasks.items())]}


class BatchStub:
    """The service on a free port; a context manager.

    `requests` are methods and paths of what was asked for, `refusals` what was not taken. Without a `node` the pool is
    empty: tasks wait for ever.
    """

    def __init__(self, certificate: tuple[Path, Path], node: Node | None = None) -> None:
        self.requests: list[str] = []
        self.refusals: list[str] = []
        self.jobs: dict[str, Job] = {}
        self.token = secrets.token_hex(16)
        self._certificate = certificate
        self._node = node
        self._identity = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._running: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._server = _Server((HOST, 0), _Handler)
        self._server.service = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self._certificate)
        # The handshake is made by the connection's own thread, so that a client that stalls holds nobody else.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="batch-stub", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        for thread in self._running:
            thread.join()

    @cached_property
    def url(self) -> str:
        """The Batch account's URL."""
        return f"https://{HOST}:{self._server.server_address[1]}"

    @property
    def variables(self) -> dict[str, str]:
        """What makes azure-identity take its token here, as in an App Service, and requests trust the certificate."""
        return {
            "IDENTITY_ENDPOINT": f"{self.url}{TOKEN_PATH}",
            "IDENTITY_HEADER": self._identity,
            "REQUESTS_CA_BUNDLE": str(self._certificate[0]),
        }

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Json | None]:
        """Status and body of an answer."""
        parts = urlsplit(target)
        with self._lock:
            self.requests.append(f"{method} {parts.path}")
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            try:
                if parts.path == TOKEN_PATH:
                    return 200, self._hand_out(query, headers)
                self._check_request(query, headers, body)
                return self._do(method, unquote(parts.path), query, json.loads(body) if body else {})
            except RefusedError as refused:
                self.refusals.append(str(refused))
                return refused.status, {
                    "odata.metadata": f"{self.url}/$metadata#Microsoft.Azure.Batch.Protocol.Entities.Container.errors",
                    "code": refused.code,
                    "message": {"lang": "en-US", "value": f"{refused.message}\nRequestId:0\nTime:2026-01-01T00:00:00Z"},
                }

    def _hand_out(self, query: Mapping[str, str], headers: Mapping[str, str]) -> Json:
        if headers.get("X-IDENTITY-HEADER") != self._identity or query.get("resource", "").rstrip("/") != AUDIENCE:
            raise RefusedError(400, "InvalidRequest", f"a token for {query.get('resource')}")
        return {
            "access_token": self.token,
            "expires_on": str(int(time.time()) + 3600),
            "resource": query["resource"],
            "token_type": "Bearer",
        }

    def _check_request(self, query: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> None:
        if headers.get("Authorization") != f"Bearer {self.token}":
            raise RefusedError(401, "AuthenticationFailed", "Server failed to authenticate the request.")
        version = query.get("api-version", "")
        if not re.fullmatch(r"\d{4}-\d\d-\d\d(\.\d+\.\d+)?", version) or version < OLDEST_API:
            raise RefusedError(400, "InvalidQueryParameterValue", f"api-version is {version!r}")
        if body and headers.get("Content-Type") != MEDIA_TYPE:
            raise RefusedError(415, "UnsupportedMediaType", f"Content-Type is {headers.get('Content-Type')}")

    def _do(self, method: str, path: str, query: Mapping[str, str], body: Json) -> tuple[int, Json | None]:
        if (method, path) == ("POST", "/jobs"):
            self._create_job(body)
            return 201, None
        found = re.fullmatch(r"/jobs/([^/]+)(/\w+)?", path)
        job = self.jobs.get(found[1]) if found else None
        if found is None or job is None:
            raise RefusedError(404, "JobNotFound", "The specified job does not exist.")
        match method, found[2]:
            case "PATCH", None:
                _check_names(body, _JOB_CHANGES, "the job's changes")
                job.facts |= body
                return 200, None
            case "POST", "/addtaskcollection":
                return 200, {"value": [_add_task(job, task) for task in body["value"]]}
            case "GET", "/tasks":
                return 200, self._page(job, query)
        raise RefusedError(405, "UnsupportedHttpVerb", f"{method} {path}")

    def _create_job(self, facts: Json) -> None:
        _check_names(facts, _JOB, "the job")
        _check_id(facts)
        if not facts.get("poolInfo", {}).get("poolId"):
            raise RefusedError(400, "MissingRequiredProperty", "poolInfo.poolId")
        if facts["id"] in self.jobs:
            raise RefusedError(409, "JobExists", "The specified job already exists.")
        self.jobs[facts["id"]] = Job(facts)

    def _page(self, job: Job, query: Mapping[str, str]) -> Json:
        """Some of the tasks as they are now. Nodes take them up when somebody has looked at them once."""
        wanted = query["$select"].split(",") if "$select" in query else None
        begin = int(query.get("$skiptoken", "0"))
        facts = [self._task_facts(job, task) for _, task in sorted(job.tasks.items())[begin : begin + AT_ONCE]]
        page: Json = {"value": [{name: task[name] for name in wanted or task if name in task} for task in facts]}
        if begin + AT_ONCE < len(job.tasks):
            page["odata.nextLink"] = (
                f"{self.url}/jobs/{job.facts['id']}/tasks?api-version={query['api-version']}"
                f"&$skiptoken={begin + AT_ONCE}" + (f"&$select={query['$select']}" if wanted else "")
            )
        elif self._node is not None and not job.started:
            job.started = True
            self._running.append(threading.Thread(target=self._run, args=(job, self._node), name="node"))
            self._running[-1].start()
        return page

    def _task_facts(self, job: Job, task: Json) -> Json:
        """A task as the service tells of it."""
        code = job.exit_codes.get(task["id"])
        if code is None:
            return {**task, "state": "running" if job.started else "active"}
        info: Json = {"exitCode": code, "result": "failure" if code else "success", "retryCount": 0, "requeueCount": 0}
        if code:
            info["failureInfo"] = {
                "category": "usererror",
                "code": "FailureExitCode",
                "message": "The task exited with an exit code representing a failure",
            }
        return {**task, "state": "completed", "executionInfo": info}

    def _run(self, job: Job, node: Node) -> None:
        for task_id, code in node(job.whole):
            with self._lock:
                job.exit_codes[task_id] = code


def _add_task(job: Job, task: Json) -> Json:
    """Take a task into the job; the service's result for it."""
    try:
        _check_task(job, task)
    except RefusedError as refused:
        error = {"code": refused.code, "message": {"lang": "en-US", "value": refused.message}}
        return {"status": "clienterror", "taskId": task.get("id", ""), "error": error}
    job.tasks[task["id"]] = task
    return {"status": "success", "taskId": task["id"], "eTag": "0x1"}


def _check_task(job: Job, task: Json) -> None:
    _check_names(task, _TASK, "the task")
    _check_id(task)
    if task["id"] in job.tasks:
        raise RefusedError(409, "TaskExists", "The specified task already exists.")
    if not task.get("commandLine"):
        raise RefusedError(400, "MissingRequiredProperty", "commandLine")
    for setting in task.get("environmentSettings", []):
        _check_names(setting, _SETTING, "a setting")
    for rule in task.get("outputFiles", []):
        _check_names(rule, _OUTPUT_FILE, "an output file")
        container = rule["destination"]["container"]
        _check_names(container, _DESTINATION, "a destination")
        if not container.get("containerUrl") or rule["uploadOptions"]["uploadCondition"] not in _CONDITIONS:
            raise RefusedError(400, "InvalidPropertyValue", f"outputFiles of task {task['id']}")


def _check_names(found: Json, known: set[str], what: str) -> None:
    if unknown := set(found) - known:
        raise RefusedError(400, "InvalidRequestBody", f"{what} has {', '.join(sorted(unknown))}")


def _check_id(facts: Json) -> None:
    if not _ID.fullmatch(str(facts.get("id", ""))):
        raise RefusedError(400, "InvalidPropertyValue", f"id is {facts.get('id')!r}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    service: BatchStub

    def handle_error(self, *_: object) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.title(): value for name, value in self.headers.items()}
        headers["X-IDENTITY-HEADER"] = headers.pop("X-Identity-Header", "")
        status, found = cast("_Server", self.server).service.answer(self.command, self.path, headers, body)
        text = b"" if found is None else json.dumps(found).encode()
        self.send_response(status)
        if found is not None:
            self.send_header("Content-Type", "application/json; odata=minimalmetadata")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the base class's names for them

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name for it
        """Nobody wants to read it."""
