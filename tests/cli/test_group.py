"""`group`: file groups from the command line, on the embedded folder and on a blob service."""

from __future__ import annotations

import sys
import uuid

import pytest

from support.azurite import KEY, Azurite
from support.command import Desk
from support.terminal import at_terminal

FRAMES = "batch-outputs/fgrp-frames"
needs_pty = pytest.mark.skipif(sys.platform == "win32", reason="terminals of POSIX")


@pytest.fixture
def furnished(desk: Desk) -> Desk:
    """A desk with files to upload."""
    for name in ("data/top.csv", "data/a/1.png", "data/a/2.png"):
        desk.write(name, "12345")
    return desk


@pytest.fixture
def uploaded(furnished: Desk) -> Desk:
    """The same, and a group with files of these names, made by hand."""
    for name in ("top.csv", "a/1.png", "a/2.png"):
        furnished.write(f"{FRAMES}/{name}", "12345")
    return furnished


def files(desk: Desk, group: str = "frames") -> list[str]:
    return [record["name"] for record in desk.run("group", "list", group, "--json").objects]


def test_a_group_in_the_embedded_folder(furnished: Desk) -> None:
    """Upload, list, download, delete: names on stdout, a sentence on stderr for each, and nothing twice."""
    first = furnished.run("group", "upload", "frames", "--recursive", "data")
    assert first.out.splitlines() == ["a/1.png", "a/2.png", "top.csv"]
    where = f"{furnished.folder}/{FRAMES}"
    assert first.sentences == [
        f"nothing says where outputs go, so they go to the folder {where}.",
        "3 files uploaded, 15 B.",
    ]
    furnished.write("data/a/2.png", "changed")
    second = furnished.run("group", "upload", "frames", "--recursive", "data")
    assert second.out.splitlines() == ["a/2.png"]
    assert second.summary == "1 file uploaded, 7 B (2 more were there unchanged)."
    assert furnished.run("group", "upload", "frames", "data/top.csv").summary == (
        "nothing is new: 1 file was there unchanged."
    )
    listed = furnished.run("group", "list", "frames")
    assert [line.split()[-1] for line in listed.out.splitlines()] == ["a/1.png", "a/2.png", "top.csv"]
    assert listed.summary == f"3 files, 17 B, in {where}."
    groups = furnished.run("group", "list")
    assert groups.out.split()[-2:] == ["frames", "fgrp-frames"]
    assert groups.summary == f"1 file group in {furnished.folder}/batch-outputs."
    assert [group["group"] for group in furnished.run("group", "list", "--json").objects] == ["frames"]
    fetched = furnished.run("group", "download", "frames", "--to", "copy", "a")
    assert fetched.out.splitlines() == ["a/1.png", "a/2.png"]
    assert fetched.summary == "2 files downloaded to copy, 12 B."
    assert (furnished.folder / "copy/a/2.png").read_bytes() == b"changed"
    gone = furnished.run("group", "delete", "frames", "--yes", "**/1.png")
    assert (gone.out, gone.sentences) == ("", [f"1 file deleted from {where}, 5 B."])
    assert files(furnished) == ["a/2.png", "top.csv"]
    again = furnished.run("group", "delete", "frames", "--yes", "**/1.png")
    assert again.summary == "nothing in the file group frames is what was asked for, so nothing was deleted."
    furnished.run("group", "delete", "frames", "--yes")
    assert not (furnished.folder / FRAMES).exists()


def test_a_group_on_a_blob_service(furnished: Desk, azurite: Azurite) -> None:
    """With an account the same, and no secret in any sentence; a whole group is made and deleted by itself."""
    name = f"Frames_{uuid.uuid4().hex[:8]}"
    furnished.variables["AZURE_STORAGE_CONNECTION_STRING"] = azurite.connection_string
    furnished.secrets.append(KEY)
    assert len(furnished.run("group", "upload", name, "-r", "data").out.splitlines()) == 3
    assert files(furnished, name) == ["a/1.png", "a/2.png", "top.csv"]
    record = furnished.run("group", "list", name, "--json").objects[0]
    assert (record["size"], record["content_type"]) == (5, "image/png")
    assert record["source_modified"] <= record["last_modified"][:19] + "~"
    assert name in furnished.run("group", "list").out
    furnished.run("group", "download", name, "--to", "copy")
    assert {path for path in furnished.everything if path.startswith("copy/")} == {
        *("copy/a/1.png", "copy/a/2.png", "copy/top.csv")
    }
    furnished.run("group", "delete", name, "--yes")
    assert f"There is no file group {name}" in furnished.run("group", "list", name, code=125).err


@pytest.mark.parametrize(
    ("arguments", "part", "code"),
    [
        (["upload", "frames"], "Missing argument", 2),
        (["upload", "a b", "data"], "cannot be a file group", 125),
        (["upload", "aaaaaaaaaaaaaa_" + "b" * 30, "data"], "no container can be called that", 125),
        (["upload", "new", "data", "nothing.txt"], "There is no file nothing.txt", 125),
        (["upload", "new", "data/a/1.png", f"{FRAMES}/a/1.png"], "would both be saved as 1.png", 125),
        (["upload", "new", "--remote-path", "../x", "data"], "no folder of a group", 125),
        (["download", "other"], "There is no file group other", 125),
        (["download", "frames", "*.gif"], "Nothing in the file group frames", 125),
        (["download", "frames", "--to", "data/top.csv"], "data/top.csv", 125),
        (["list", "other"], "There is no file group other", 125),
        (["delete", "frames"], "no terminal to ask at; add --yes", 2),
        (["delete", "frames", "--yes", ""], "it is empty", 2),
        (["delete", "other", "--yes"], "There is no file group other", 125),
        (["list", "--account-url", "https://a.blob.core.windows.net/?sig=secret"], "secret on a command line", 2),
    ],
)
def test_bad_input(uploaded: Desk, arguments: list[str], part: str, code: int) -> None:
    """What cannot be done is refused with a sentence that names it, and nothing changes."""
    before = uploaded.everything
    done = uploaded.run("group", *arguments, code=code)
    assert part in done.err
    assert uploaded.everything == before


def test_one_container_is_configured(uploaded: Desk) -> None:
    """With a job's container only, the sentence says that an account is needed and how to name one."""
    uploaded.variables["BATCH_OUTPUTS_CONTAINER_URL"] = "https://acct.blob.core.windows.net/job-x"
    for arguments in (["list"], ["upload", "frames", "data"]):
        done = uploaded.run("group", *arguments, code=125)
        assert "here is access to acct.blob.core.windows.net/job-x only" in done.err
        assert "--account-url" in done.err
    account = (uploaded.folder / "batch-outputs").as_uri()
    assert len(uploaded.run("group", "list", "frames", "--account-url", account).out.splitlines()) == 3


def test_a_dry_run(uploaded: Desk) -> None:
    """--dry-run shows what would go, of a pattern and of a whole group, and all stays."""
    place = f"the file group frames ({uploaded.folder}/{FRAMES})"
    some = uploaded.run("group", "delete", "frames", "--dry-run", "a")
    assert some.out.splitlines() == ["a/1.png", "a/2.png"]
    assert some.sentences == [f"2 files, 10 B, of {place} would be deleted."]
    whole = uploaded.run("group", "delete", "frames", "--dry-run")
    assert whole.sentences == [f"{place} with 3 files, 15 B, would be deleted."]
    assert len(files(uploaded)) == 3


@needs_pty
def test_the_question(uploaded: Desk) -> None:
    """At a terminal names, count and bytes are shown, only a yes deletes, and what came after the question stays."""
    uploaded.run("group", "upload", "frames", "-r", "data")
    place = f"the file group frames ({uploaded.folder}/{FRAMES})"
    question = f"Delete 2 files, 10 B, of {place}? [y/N]: "
    asked = question.rstrip().encode()
    shown = at_terminal(uploaded, "group", "delete", "frames", "a", asked=asked, answer=b"n\n", code=125)
    assert "  a/1.png" in shown.text
    assert "nothing was deleted" in shown.text
    assert len(files(uploaded)) == 3

    def upload_and_agree() -> bytes:
        uploaded.write("data/a/3.png", "new")
        uploaded.run("group", "upload", "frames", "-r", "data")
        return b"y\n"

    shown = at_terminal(uploaded, "group", "delete", "frames", "a", asked=asked, answer=upload_and_agree)
    assert "2 files deleted" in shown.text
    assert files(uploaded) == ["a/3.png", "top.csv"]
    whole = f"Delete {place} with 2 files, 8 B? [y/N]:"
    at_terminal(uploaded, "group", "delete", "frames", asked=whole.encode(), answer=b"y\n")
    assert not (uploaded.folder / FRAMES).exists()


@needs_pty
def test_a_bar_at_a_terminal(uploaded: Desk) -> None:
    """At a terminal a bar shows how far it is, also where the number of files is not known yet."""
    for arguments, label in (
        (["upload", "more", "-r", "data"], "uploading"),
        (["download", "frames", "--to", "copy"], "downloading"),
    ):
        assert label in at_terminal(uploaded, "group", *arguments).text
