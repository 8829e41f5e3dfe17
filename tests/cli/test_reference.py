"""docs/cli.md is what the command's help says."""

from __future__ import annotations

from pathlib import Path

from support.cli_reference import marked, page

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"


def test_the_document_is_made_of_the_help() -> None:
    """docs/cli.md is as it would be made now."""
    made = page()
    assert DOCUMENT.read_text(encoding="utf-8") == made, (
        "docs/cli.md is not what the help says; in tests, run: python -m support.cli_reference --into ../docs/cli.md"
    )


def test_what_is_typed_is_code() -> None:
    """Options, names, patterns and JSON are code in the document, and nothing else of Markdown is left in a text."""
    assert marked('With --to DIR, in "DIR" (a/b.png).', {"DIR"}) == 'With `--to DIR`, in "`DIR`" (`a/b.png`).'
    assert marked("Patterns: *, ?, [a]; - is it, N not.", set()) == "Patterns: `*`, `?`, `[a]`; `-` is it, N not."
    assert marked('{"a": {"value": 9}} or {"a": 9}.', set()) == '`{"a": {"value": 9}}` or `{"a": 9}`.'
    assert marked("1 <2 #3", set()) == r"1 \<2 \#3"
