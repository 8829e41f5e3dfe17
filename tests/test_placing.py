"""Which local file each output becomes: decided while outputs are listed, as if all were known at once."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.local_names import local_path
from batch_outputs.placing import Placing

SEGMENTS = st.sampled_from(["a", "A", "a!", "a-", "a-b", "b", "..", "%2E%2E", "é", "e\u0301", "", "x" * 300])
NAMES = st.lists(SEGMENTS, min_size=1, max_size=4).map("/".join).filter(bool)


def placed(names: list[str], *, case_blind: bool = False) -> tuple[dict[str, str], list[str]]:
    """The name that each path gets, and what is refused, as it comes."""
    placing = Placing[str]("t", case_blind=case_blind)
    paths = [item for name in names for item in placing.add(name, name, name)]
    paths += placing.rest()
    assert len(dict(paths)) == len(paths)
    return dict(paths), [str(problem) for problem in placing.problems]


def all_at_once(names: list[str], *, case_blind: bool) -> set[str]:
    """What may be written when everything is known: no folder's name, and of one path the first."""

    def key(path: str) -> str:
        return path.replace("e\u0301", "é").casefold() if case_blind else path

    paths = {name: key(os.path.join("t", local_path(name))) for name in names}
    folders = {
        os.path.join(*path.split(os.sep)[:depth])
        for path in paths.values()
        for depth in range(1, path.count(os.sep) + 1)
    }
    firsts: dict[str, str] = {}
    for name, path in paths.items():
        if path not in folders:
            firsts.setdefault(path, name)
    return set(firsts.values())


@given(st.lists(NAMES, unique=True), st.booleans())
def test_as_if_all_were_known(names: list[str], case_blind: bool) -> None:
    """The same outputs come down as if all were known at once, each in its own place, and every other is refused."""
    names.sort()
    paths, refused = placed(names, case_blind=case_blind)
    assert set(paths.values()) == all_at_once(names, case_blind=case_blind)
    assert all(path == os.path.join("t", local_path(name)) for path, name in paths.items())
    assert len(refused) == len(names) - len(paths)


def test_decided_while_listing() -> None:
    """Only an output that names behind it may yet make a folder is held back, however many there are."""
    placing = Placing[int]("t", case_blind=False)
    names = sorted(f"frames/{number:05}{end}" for number in range(1000) for end in ("", ".png", "-mask/1.png"))
    given_back = 0
    for number, name in enumerate(names):
        given_back += len(list(placing.add(name, name, number)))
        assert number + 1 - given_back <= 3
    assert given_back + len(list(placing.rest())) == len(names)


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (["a", "a!", "a/b"], ["a is a file and also the folder of others, and t/a cannot be both"]),
        (
            ["%2E%2E", "..", "../b"],
            ["%2E%2E is a file and also the folder of others", ".. is a file and also the folder of others"],
        ),
        (["%2E%2E", ".."], [".. and %2E%2E would both be t/%2E%2E"]),
    ],
)
def test_what_is_said(names: list[str], refused: list[str]) -> None:
    """What cannot be beside another is named, with the other and the path."""
    _, problems = placed(names)
    assert len(problems) == len(refused)
    for problem, beginning in zip(problems, refused, strict=True):
        assert problem.replace(os.sep, "/").startswith(beginning)
        assert problem.endswith("fetch one of them with batch-outputs cat.")


def test_a_disk_blind_to_case() -> None:
    """Names that such a disk takes for one are told from each other: the first one has the place."""
    paths, refused = placed(["A", "a", "b"], case_blind=True)
    assert set(paths.values()) == {"A", "b"}
    assert refused[0].startswith("a and A would both be")
