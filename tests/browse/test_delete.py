"""The page deletes only where it may, only what it has shown before, and only for a form of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.marks import LogMarks
from support.page import Answer, Page


@pytest.fixture
def deleting(job: sync.JobOutputStorage, start_page: Callable[..., Page]) -> Page:
    """A page that may delete."""
    return start_page("--allow-delete")


def fields(answer: Answer) -> dict[str, str | list[str]]:
    """The form of a page that asks, as a browser would send it with its boxes left as they are."""
    assert answer.status == 200, answer.text
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<(?:input type="hidden"|button[^>]*) name="([^"]+)" value="([^"]*)"', answer.text):
        found.setdefault(name, []).append(html.unescape(value))
    return dict(found)


def token(page: Page, job: sync.JobOutputStorage) -> str:
    """The token of forms, from a task's page."""
    job.task("t0").save_text("TaskOutput", "x", "x")
    found = re.search(r'name="form_token" value="([^"]+)"', page.get(addresses.task(job.container, "t0")).text)
    assert found is not None
    return found[1]


def names(job: sync.JobOutputStorage) -> set[str]:
    return {output.blob_name for output in job.list_all_outputs()} - {"t0/$TaskOutput/x"}


def test_selected_outputs(deleting: Page, job: sync.JobOutputStorage) -> None:
    """What is selected is shown first and deleted then, whatever it is called, and nothing beside it."""
    task = job.task("t1")
    for name in ("a.txt", "b.txt", 'c <&>".txt'):
        task.save_text("TaskOutput", name, name)
    chosen = ["t1/$TaskOutput/a.txt", 't1/$TaskOutput/c <&>".txt', "t1/$TaskOutput/missing"]
    address = addresses.delete(job.container)
    asking = deleting.post(address, {"form_token": token(deleting, job), "name": chosen})
    assert len(names(job)) == 3
    form = fields(asking)
    assert form["name"] == chosen[:2]
    done = deleting.post(address, form)
    assert (done.status, done["location"]) == (303, addresses.task(job.container, "t1"))
    assert names(job) == {"t1/$TaskOutput/b.txt"}
    last = {"form_token": token(deleting, job), "name": ["t1/$TaskOutput/b.txt"]}
    done = deleting.post(address, fields(deleting.post(address, last)))
    assert done["location"] == addresses.job(job.container)  # the task has no page any more
    assert deleting.post(address, last).status == 404


@pytest.mark.parametrize("place", ["account"], indirect=True)
def test_all_of_a_task(deleting: Page, job: sync.JobOutputStorage) -> None:
    """All outputs of a task go, but what came after the page had asked, and logs that still grow unless asked for."""
    task = job.task("t1")
    task.save_text("TaskOutput", "a", "a.txt")
    job.task("t10").save_text("TaskOutput", "other", "a.txt")
    store = job._storage._container.store
    marks = LogMarks(attempt="a1", log="a1").metadata()
    address = addresses.delete(job.container)
    given = token(deleting, job)
    sync._run(store.create_append("t1/$TaskLog/log.txt", metadata=marks))
    form = fields(deleting.post(address, {"form_token": given, "task": "t1"}))
    assert names(job) == {"t1/$TaskOutput/a.txt", "t10/$TaskOutput/a.txt", "t1/$TaskLog/log.txt"}
    assert deleting.post(address, form).status == 303
    assert names(job) == {"t10/$TaskOutput/a.txt", "t1/$TaskLog/log.txt"}
    form = fields(deleting.post(address, {"form_token": given, "task": "t1"}))
    done = deleting.post(address, {**form, "growing": "yes"})
    assert (done.status, done["location"]) == (303, addresses.job(job.container))
    assert names(job) == {"t10/$TaskOutput/a.txt"}
    assert deleting.post(address, {"form_token": given, "task": "t1"}).status == 404


def test_names_are_taken_as_they_stand(deleting: Page, job: sync.JobOutputStorage) -> None:
    """What somebody has stored under a name with `..` is deleted, and not what another way of reading it means."""
    store = job._storage._container.store
    for blob in ("t1/$TaskOutput/b.txt", "t1/$TaskOutput/a/../b.txt", "t1/$TaskOutput/a\\b.txt"):
        sync._run(store.put(blob, b"x"))
    address = addresses.delete(job.container)
    chosen = ["t1/$TaskOutput/a/../b.txt", "t1/$TaskOutput/a\\b.txt"]
    form = fields(deleting.post(address, {"form_token": token(deleting, job), "name": chosen}))
    assert deleting.post(address, form).status == 303
    assert names(job) == {"t1/$TaskOutput/b.txt"}


def test_refused(deleting: Page, start_page: Callable[..., Page], job: sync.JobOutputStorage) -> None:
    """Without the option, a form's token, a selection, or as anything but a form of ours, nothing is deleted."""
    job.task("t1").save_text("TaskOutput", "a", "a.txt")
    address = addresses.delete(job.container)
    wanted = {"name": "t1/$TaskOutput/a.txt", "confirmed": "yes"}
    given = token(deleting, job)
    refused = {
        "no token": deleting.post(address, {**wanted}),
        "another token": deleting.post(address, {**wanted, "form_token": given[:-1] + "é"}),
        "the token of the address": deleting.post(address, {**wanted, "form_token": deleting.token}),
        "no cookie": deleting.post(address, {**wanted, "form_token": given}, cookie=None),
        "another site": deleting.post(address, {**wanted, "form_token": given}, sec_fetch_site="cross-site"),
        "neither": deleting.post(address, {**wanted, "form_token": given}, sec_fetch_site=None),
    }
    reading = start_page()
    assert "form_token" not in reading.get(addresses.task(job.container, "t1")).text
    refused["not allowed"] = reading.post(address, {**wanted, "form_token": given})
    assert {why: answer.status for why, answer in refused.items()} == dict.fromkeys(refused, 403)
    assert deleting.post(address, {"form_token": given}).status == 400
    assert deleting.post(address, {"form_token": given, "name": "nonsense"}).status == 404
    assert deleting.post(address, {"form_token": given, "task": "a/b"}).status == 404
    assert deleting.get(address).status == 405
    assert deleting.post(address, {"form_token": given, "name": ["x"] * 20_000}).status == 403
    assert names(job) == {"t1/$TaskOutput/a.txt"}
