"""The page deletes only where it may, only what it has shown before, and only for a form of its own."""

from __future__ import annotations

import html
import re
from collections.abc import Callable

import pytest

from batch_outputs import sync
from batch_outputs.browse import addresses
from batch_outputs.marks import LogMarks
from support.azurite import Container
from support.command import Desk, signature
from support.page import Answer, Page, serving


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


LOG = "t1/$TaskLog/log.txt"


def begin_log(job: sync.JobOutputStorage, attempt: str, *, etag: str | None = None) -> None:
    """Store a log that grows, in place of one that may be there."""
    store = job._storage._container.store
    marks = LogMarks(attempt=attempt, log=attempt).metadata()
    written = sync._run(store.create_append(LOG, metadata=marks, replaces=etag))
    sync._run(store.append(LOG, b"begun\n", offset=0, etag=written.etag))


def test_a_question_about_growing_logs_only(deleting: Page, job: sync.JobOutputStorage) -> None:
    """Where nothing but growing logs is there, what is saved between question and answer stays all the same."""
    begin_log(job, "a1")
    address = addresses.delete(job.container)
    form = fields(deleting.post(address, {"form_token": token(deleting, job), "task": "t1"}))
    job.task("t1").save_text("TaskOutput", "just now", "result.txt")
    assert deleting.post(address, form).status == 303
    assert names(job) == {LOG, "t1/$TaskOutput/result.txt"}
    assert deleting.post(address, {**form, "growing": "yes"}).status == 303
    assert names(job) == {"t1/$TaskOutput/result.txt"}


@pytest.mark.parametrize("until", [None, "", "yesterday", "2026-01-01T00:00:00"])
def test_an_answer_without_its_question(deleting: Page, job: sync.JobOutputStorage, until: str | None) -> None:
    """A task is not deleted for a form that does not say what there was when it was asked about."""
    job.task("t1").save_text("TaskOutput", "a", "a.txt")
    form = {"form_token": token(deleting, job), "task": "t1", "confirmed": "yes"}
    answer = deleting.post(addresses.delete(job.container), form if until is None else {**form, "until": until})
    assert answer.status == 400
    assert names(job) == {"t1/$TaskOutput/a.txt"}


@pytest.mark.parametrize("place", ["folder", "container"], indirect=True)
def test_what_has_changed_since_the_question_stays(deleting: Page, job: sync.JobOutputStorage) -> None:
    """Of a selection only what is still what was asked about is deleted; a log may have grown, but not be another."""
    task = job.task("t1")
    task.save_text("TaskOutput", "a", "a.txt")
    task.save_text("TaskOutput", "b", "b.txt")
    begin_log(job, "a1")
    address = addresses.delete(job.container)
    chosen = {"form_token": token(deleting, job), "name": ["t1/$TaskOutput/a.txt", "t1/$TaskOutput/b.txt", LOG]}
    form = fields(deleting.post(address, chosen))
    task.save_text("TaskOutput", "another", "a.txt")
    log = job.output_at(LOG).refresh()
    assert log.etag is not None
    sync._run(job._storage._container.store.append(LOG, b"more\n", offset=6, etag=log.etag))
    answer = deleting.post(address, form)
    assert answer.status == 409
    assert "1 output not deleted" in answer.text
    assert "t1/$TaskOutput/a.txt has changed since you were asked" in answer.text
    assert names(job) == {"t1/$TaskOutput/a.txt"}

    begin_log(job, "a1")
    form = fields(deleting.post(address, {**chosen, "name": LOG}))
    begin_log(job, "a2", etag=job.output_at(LOG).refresh().etag)
    assert deleting.post(address, form).status == 409
    assert deleting.post(address, {**form, "state": []}).status == 409
    assert LOG in names(job)


def test_what_cannot_be_looked_at_is_told(container: Container, desk: Desk) -> None:
    """Where something of a task cannot be looked at, the question says so, and why."""
    url = container.sas_url("l")
    desk.variables["BATCH_OUTPUTS_CONTAINER_URL"] = url
    desk.secrets.append(signature(url))
    with sync.JobOutputStorage.from_container_url(container.sas_url()) as job, serving(desk, "--allow-delete") as page:
        job.task("t1").save_text("TaskOutput", "a", "a.txt")
        begin_log(job, "a1")
        address = addresses.delete(job.container)
        asking = page.post(address, {"form_token": token(page, job), "task": "t1"})
        assert len(fields(asking)["until"]) == 1
        assert "1 output could not be looked at: " in asking.text
        job.output_at("t1/$TaskOutput/a.txt").delete()
        nothing_else = page.post(address, {"form_token": token(page, job), "task": "t1"})
        assert nothing_else.status == 502
        assert "1 output could not be looked at: " in nothing_else.text


def test_a_client_that_leaves(desk: Desk, job: sync.JobOutputStorage) -> None:
    """Whoever leaves in the middle of a form is no failure of the server."""
    with serving(desk, "--allow-delete") as page:
        head = f"POST {addresses.delete(job.container)} HTTP/1.1\r\nHost: {page.host}:{page.port}\r\n"
        head += f"Cookie: {page.cookie}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 1000\r\n\r\nname=x"
        page.leave_after(head.encode())
    assert "broke" not in page.said.read_text()
