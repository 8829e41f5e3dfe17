"""`url`: the one command that prints a secret, and says what it is good for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from batch_outputs.shared_access import SasTerms
from support.azurite import ACCOUNT, KEY, Azurite
from support.command import Desk, signature


@pytest.fixture
def account(desk: Desk, azurite: Azurite) -> Desk:
    """The desk with an account on a blob service, by its key."""
    desk.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    desk.secrets.append(KEY)
    return desk


def test_a_url_for_tasks(account: Desk, azurite: Azurite) -> None:
    """What is printed lets a task save; stderr says what it allows and until when, and does not show it."""
    account.run("prepare", "url-render")
    done = account.run("url", "url-render")
    url = done.out.removesuffix("\n")
    assert "\n" not in url
    terms = SasTerms.of(url)
    assert terms is not None
    assert terms.expires is not None
    assert abs(terms.expires - datetime.now(UTC) - timedelta(days=7)) < timedelta(minutes=1)
    place = f"127.0.0.1:{azurite.port}/{ACCOUNT}/job-url-render"
    allows, until = "read, add, create, write and list", f"{terms.expires:%Y-%m-%d %H:%M:%SZ}"
    assert done.sentences == [f"whoever has this URL may {allows} in {place} until {until}; keep it secret."]
    assert signature(url) not in done.err
    task = {"AZURE_STORAGE_CONNECTION_STRING": "", "BATCH_OUTPUTS_CONTAINER_URL": url}
    account.write("a.txt", "x")
    account.run("save", "--task", "t1", "a.txt", variables=task)
    assert account.run("cat", "--task", "t1", "a.txt", variables=task).out == "x"
    assert "pass on the SAS that you have" in account.run("url", "url-render", variables=task, code=125).err


def test_for_how_long_and_what(account: Desk) -> None:
    """End and letters are as asked, and the job may be named by the option or the environment."""
    done = account.run("url", "--expiry", "90m", "--permissions", "lr", "--job", "url-render")
    terms = SasTerms.of(done.out.strip())
    assert terms is not None
    assert terms.permissions == "rl"
    assert terms.expires is not None
    assert abs(terms.expires - datetime.now(UTC) - timedelta(minutes=90)) < timedelta(minutes=1)
    assert "may read and list in" in done.err
    end = (datetime.now(UTC) + timedelta(days=3)).replace(microsecond=0)
    done = account.run("url", "--expiry", f"{end:%Y-%m-%dT%H:%M:%SZ}", variables={"AZ_BATCH_JOB_ID": "url-render"})
    terms = SasTerms.of(done.out.strip())
    assert terms is not None
    assert terms.expires == end


def test_of_a_folder(desk: Desk) -> None:
    """It is no secret, and says so; nothing is made."""
    done = desk.run("url", "render")
    assert done.out == f"{(desk.folder / 'batch-outputs' / 'job-render').as_uri()}\n"
    assert "is a folder: its URL is no secret" in done.err
    assert desk.everything == set()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--expiry", "soon"], "neither a time from now such as 30m"),
        (["--expiry", "0s"], "not in the future"),
        (["--expiry", "2020-01-01"], "not in the future"),
        (["--expiry", "60w"], "more than a year ahead"),
        (["--expiry", "9999999999d"], "further away than calendars go"),
        (["--permissions", "rwq"], "'q' is not a permission"),
        (["--permissions", ""], "allows nothing"),
        (["--job", "other"], "Two jobs are named, render and other"),
    ],
)
def test_bad_input(desk: Desk, arguments: list[str], sentence: str) -> None:
    """Options that cannot be meant are refused in a sentence, and nothing is printed."""
    done = desk.run("url", "render", *arguments, code=2)
    assert sentence in " ".join(done.err.split())
    assert done.out == ""
