"""A SAS that an identity signs: the key is asked from the service, and the SAS is the one the service would compute."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from anyio import run_process
from azure.storage.blob import UserDelegationKey

from batch_outputs.errors import AccessDeniedError, ConfigurationError, StoreUnavailableError
from batch_outputs.location import AzureAccount, TokenAccess
from batch_outputs.stores.azure.access import Ticket
from batch_outputs.stores.azure.delegation import delegation_key, delegation_period
from batch_outputs.stores.azure.line import Line
from batch_outputs.stores.azure.retries import RetryPolicy
from batch_outputs.stores.azure.service import delegated_sas
from stores.azure.answering import Handler, answering, refusal
from support.azurite import running_azurite
from support.certificates import self_signed
from support.made_up_identity import IDENTITY

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 5, 31, 12, tzinfo=UTC)
SECRET = base64.b64encode(b"the key that signs").decode()
KEY_INFO = re.compile(r"<KeyInfo><Start>(\S+)</Start><Expiry>(\S+)</Expiry></KeyInfo>")


def key_answer(start: str, expiry: str) -> web.Response:
    """The service's answer, as its reference shows it."""
    body = (
        '\ufeff<?xml version="1.0" encoding="utf-8"?><UserDelegationKey>'
        "<SignedOid>0f1b0a9b-oid</SignedOid><SignedTid>72f988bf-tid</SignedTid>"
        f"<SignedStart>{start}</SignedStart><SignedExpiry>{expiry}</SignedExpiry>"
        f"<SignedService>b</SignedService><SignedVersion>2022-11-02</SignedVersion><Value>{SECRET}</Value>"
        "</UserDelegationKey>"
    )
    return web.Response(body=body.encode(), content_type="application/xml")


class Bearer:
    """Tickets of one token that cannot be renewed."""

    def at_hand(self) -> Ticket:
        return Ticket(token="t0ken")

    async def ticket(self) -> Ticket:
        return Ticket(token="t0ken")

    async def renewed(self, refused: Ticket) -> Ticket | None:
        return None


@asynccontextmanager
async def line_to(handler: Handler) -> AsyncIterator[Line]:
    """A line to a service that answers so."""
    async with answering(handler) as endpoint:
        account = AzureAccount(endpoint, TokenAccess())
        line = Line(account, Bearer(), RetryPolicy(patience=0), None, place="acct.blob.core.windows.net")
        yield line
        await line.aclose()


def test_the_period_of_a_key() -> None:
    """It begins a little before now and lasts as long as asked, but never longer than the service's seven days."""
    start, end = delegation_period(NOW + timedelta(hours=1), now=NOW)
    assert (start, end) == (NOW - timedelta(minutes=5), NOW + timedelta(hours=1))
    start, end = delegation_period(NOW + timedelta(days=7), now=NOW)
    assert (end - start, start) == (timedelta(days=7), NOW - timedelta(minutes=5))
    with pytest.raises(ConfigurationError, match="7 days at most"):
        delegation_period(NOW + timedelta(days=7, seconds=1), now=NOW)


async def test_the_request_for_a_key() -> None:
    """The key is asked with the identity's token, for the time given; what comes is all that a SAS is made from."""
    asked: list[tuple[str, str, str, tuple[str, ...]]] = []

    async def handler(request: web.Request) -> web.Response:
        found = KEY_INFO.search(await request.text())
        assert found
        asked.append((request.method, request.path_qs, request.headers["Authorization"], found.groups()))
        return key_answer(*found.groups())

    async with line_to(handler) as line:
        key = await delegation_key(line, NOW, NOW + timedelta(days=1))
    period = ("2026-05-31T12:00:00Z", "2026-06-01T12:00:00Z")
    assert asked == [("POST", "/acct/?restype=service&comp=userdelegationkey", "Bearer t0ken", period)]
    assert (key.signed_oid, key.signed_tid, key.signed_service) == ("0f1b0a9b-oid", "72f988bf-tid", "b")
    assert (key.signed_start, key.signed_expiry, key.signed_version, key.value) == (*period, "2022-11-02", SECRET)


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ((403, "AuthorizationPermissionMismatch"), AccessDeniedError, "Storage Blob Delegator"),
        ((401, "InvalidAuthenticationInfo"), AccessDeniedError, "does not accept the identity's token"),
        ((503, "ServerBusy"), StoreUnavailableError, "try again later"),
        (None, StoreUnavailableError, "is not Blob Storage"),
    ],
)
async def test_no_key(answer: tuple[int, str] | None, error: type[Exception], sentence: str) -> None:
    """An identity without the right is told the role it needs; other answers are told for what they are."""

    async def handler(request: web.Request) -> web.Response:
        return refusal(*answer) if answer else web.Response(text=f"<html>sign in, {SECRET}</html>")

    async with line_to(handler) as line:
        with pytest.raises(error, match=sentence) as caught:
            await delegation_key(line, NOW, NOW + timedelta(days=1))
    assert "t0ken" not in repr(vars(caught.value))
    assert caught.value.__cause__ is None


PROGRAM = (
    IDENTITY
    + """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from batch_outputs.sync import JobOutputStorage, TaskOutputStorage

with JobOutputStorage.from_account_url(sys.argv[1], "render", credential=Identity()) as job:
    job.create_container()
    url = job.generate_container_url(permissions="lwr")
    shown = [repr(job), job.place, job.container_url]
with TaskOutputStorage.from_container_url(url, "t1") as task:
    task.save_text("TaskOutput", "text", "a.txt")
with TaskOutputStorage.from_container_url(url.replace("sp=rwl", "sp=rwdl"), "t1") as task:
    try:
        task.save_text("TaskOutput", "text", "b.txt")
    except Exception as error:
        shown.append(type(error).__name__)
print(json.dumps([url, token, shown]))
"""
)


async def test_the_whole_way(tmp_path: Path) -> None:
    """An identity gives a URL that a task saves with; its SAS cannot be widened, and nothing of it is logged."""
    certificate = self_signed(tmp_path, "localhost")
    with running_azurite(tmp_path / "azurite.log", certificate=certificate) as azurite:
        variables = {"PATH": os.environ["PATH"], "SSL_CERT_FILE": str(certificate[0])}
        endpoint = azurite.named_endpoint.replace("http:", "https:")
        done = await run_process([sys.executable, "-c", PROGRAM, endpoint], env=variables)
    url, token, shown = json.loads(done.stdout)
    base, _, query = url.partition("?")
    assert base == f"{endpoint}/job-render"
    assert shown[-1] == "AccessDeniedError"
    fields = {name: values[0] for name, values in parse_qs(query).items()}
    assert (fields["sr"], fields["sp"], fields["spr"]) == ("c", "rwl", "https")
    assert fields["se"] == fields["ske"]
    assert datetime.fromisoformat(fields["ske"]) - datetime.fromisoformat(fields["skt"]) == timedelta(days=7)
    for text in (*shown, done.stderr.decode()):
        for secret in (fields["sig"], query.partition("sig=")[2], token):
            assert secret not in text


async def test_the_signature() -> None:
    """A SAS by an identity's key is signed as the service's reference says."""
    key = await _read_key()
    sas = delegated_sas(key, "acct", "job-render", permissions="racwl", expires=NOW + timedelta(days=1))
    fields = {name: values[0] for name, values in parse_qs(sas).items()}
    assert fields["sig"] == expected_signature(fields)


async def _read_key() -> UserDelegationKey:
    async def handler(request: web.Request) -> web.Response:
        return key_answer("2026-05-31T12:00:00Z", "2026-06-01T12:00:00Z")

    async with line_to(handler) as line:
        return await delegation_key(line, NOW, NOW + timedelta(days=1))


def expected_signature(fields: dict[str, str]) -> str:
    """The signature of a user-delegation SAS by the service's reference (version 2025-07-05 and later)."""
    text = "\n".join(
        [
            *(fields["sp"], fields.get("st", ""), fields["se"], "/blob/acct/job-render"),
            *(fields["skoid"], fields["sktid"], fields["skt"], fields["ske"], fields["sks"], fields["skv"]),
            *("", "", ""),  # authorized object id, unauthorized object id, correlation id
            *("", ""),  # the tenant and object id of a delegated user
            *("", fields["spr"], fields["sv"], fields["sr"]),  # before the protocol: addresses
            *("", ""),  # snapshot time, encryption scope
            *("", ""),  # headers and query parameters of the request
            *("", "", "", "", ""),  # headers of the answer: cache control, disposition, encoding, language, type
        ]
    )
    digest = hmac.new(base64.b64decode(SECRET), text.encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()
