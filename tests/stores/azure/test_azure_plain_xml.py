"""Pages read without a parser: as a parser reads them, or not at all."""

from __future__ import annotations

from urllib.request import urlopen
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_outputs.stores.azure.answers import UnusableAnswerError
from batch_outputs.stores.azure.listing import Page
from batch_outputs.stores.azure.plain_xml import NotPlainError, PlainXml
from support.azurite import Container

BEGIN = (
    '\ufeff<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="https://acct.blob.core.windows.'
    'net/" ContainerName="job-x"><Prefix>t1/</Prefix><Marker>2!72!MDAw</Marker><MaxResults>5000</MaxResults><Blobs>'
)
END = "</Blobs><NextMarker>2!72!MDAx</NextMarker></EnumerationResults>"
PROPERTIES = (
    "<Properties><Creation-Time>Sun, 22 Nov 2026 13:49:02 GMT</Creation-Time>"
    "<Last-Modified>Sun, 22 Nov 2026 13:49:03 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>7</Content-Length>"
    "<Content-Type>text/plain</Content-Type><Content-Encoding /><Content-Language /><Content-CRC64 />"
    "<Content-MD5>1B2M2Y8AsgTpgAmY7PhCfg==</Content-MD5><Cache-Control /><Content-Disposition />"
    "<BlobType>AppendBlob</BlobType><LeaseStatus>unlocked</LeaseStatus></Properties>"
)
FILE = f"<Blob><Name>t1/$TaskOutput/ü</Name>{PROPERTIES}<Metadata /><OrMetadata /></Blob>"
LOG = (
    f"<Blob><Name>t1/$TaskLog/stdout.txt</Name>{PROPERTIES}<Metadata><attempt>1</attempt><Name>x</Name><empty />"
    "<Properties>not these</Properties></Metadata><OrMetadata /></Blob>"
)
PAGE = f"{BEGIN}{FILE}{LOG}{FILE}{END}"


def read(page: str) -> Page | None:
    """The page, in whichever way; None if it is declined."""
    found = Page()
    try:
        found.feed(page.encode())
        found.close()
    except UnusableAnswerError:
        return None
    return found


def is_plain(page: str) -> bool:
    try:
        list(PlainXml(page.encode()).blobs())
    except NotPlainError:
        return False
    return True


def check_as_parsed(page: str) -> None:
    """A page says what a parser reads in it, which one with a comment needs, unless the parser declines it."""
    commented = page.replace("<Blobs>", "<!-- --><Blobs>", 1)
    assert not is_plain(commented)
    found, parsed = read(page), read(commented)
    if parsed is not None:
        assert found is not None
        assert found.entries == parsed.entries
        assert [getattr(entry, "md5", None) for entry in found.entries] == [
            getattr(entry, "md5", None) for entry in parsed.entries
        ]
        assert found.next_marker == parsed.next_marker


def test_the_emulators_pages(container: Container) -> None:
    """What the emulator gives needs no parser, be there metadata or not, a next page or not."""
    for name in ("a", "b", "c"):
        container.client.upload_blob(f"t1/$TaskOutput/{name} ü.txt", b"x", metadata={"n": name} if name != "b" else {})
    for limit in ("2", "5000"):
        query = f"restype=container&comp=list&include=metadata&maxresults={limit}"
        with urlopen(f"{container.sas_url()}&{query}") as answer:  # noqa: S310 - the emulator's
            page = answer.read().decode()
        assert is_plain(page)
        check_as_parsed(page)


def test_the_services_pages() -> None:
    """What the service's documentation shows needs no parser; keys called like other elements are only keys."""
    assert is_plain(PAGE)
    check_as_parsed(PAGE)
    page = read(PAGE)
    assert page is not None
    assert [entry.name for entry in page.entries] == ["t1/$TaskOutput/ü", "t1/$TaskLog/stdout.txt", "t1/$TaskOutput/ü"]
    assert is_plain(PAGE.replace(END, "</Blobs><NextMarker /></EnumerationResults>"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Name>t1/$TaskOutput/ü", '<Name Encoded="true">t1/%01'),
        ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/a &amp; b"),
        ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/<![CDATA[a<Blob>b</Blob>]]>"),
        ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/<!-- no -->stdout.txt"),
        ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/a\r\nb"),
        ("t1/$TaskLog/stdout.txt", "t1/$TaskLog/a/>b"),
        ("<attempt>1</attempt>", '<attempt kind="x">1</attempt>'),
        ("<attempt>1</attempt>", "<Blob>1</Blob>"),
        ("<attempt>1</attempt>", "<attempt>1</attempt><attempt>2</attempt>"),
        ("<attempt>1</attempt>", "<attempt><deeper>1</deeper></attempt>"),
        ("<Metadata>", '<Metadata Encrypted="true">'),
        ("<OrMetadata />", "<Tags><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tags>"),
        (LOG, f"{LOG}<BlobPrefix><Name>t2/</Name></BlobPrefix>"),
        (LOG, f"<BlobPrefix><Name>t0/</Name></BlobPrefix>{LOG}"),
        ("utf-8", "us-ascii"),
        (END, "</Blobs><NextMarker>a&amp;b</NextMarker></EnumerationResults>"),
        (f"{FILE}{LOG}{FILE}", ""),
    ],
)
def test_what_needs_a_parser(old: str, new: str) -> None:
    """Attributes, entities, sections, comments, prefixes and whatever else there may be are left to a parser."""
    page = PAGE.replace(old, new)
    assert page != PAGE
    assert not is_plain(page)


@pytest.mark.parametrize("cut", [len(PAGE) // 3, len(PAGE) // 2, len(PAGE) - 1])
def test_half_a_page(cut: int) -> None:
    """A page without its end is none."""
    assert read(PAGE) is not None
    assert read(PAGE[:cut]) is None


TEXT = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=1)
KEYS = st.sampled_from(["n", "Name", "Blob", "Metadata", "Properties", "Etag", "hdi_isfolder"])


@given(st.lists(st.tuples(TEXT, st.dictionaries(KEYS, TEXT))))
def test_any_names(blobs: list[tuple[str, dict[str, str]]]) -> None:
    """Whatever blobs and their metadata are called, a page says what a parser reads in it."""
    texts = []
    for name, metadata in blobs:
        pairs = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in metadata.items())
        texts.append(f"<Blob><Name>{escape(name)}</Name>{PROPERTIES}<Metadata>{pairs}</Metadata></Blob>")
    page = f"{BEGIN}{''.join(texts)}{END}"
    check_as_parsed(page)
    found = read(page)
    assert found is not None
    assert len(found.entries) >= sum("hdi_isfolder" not in metadata for _, metadata in blobs)


PIECES = st.sampled_from(
    [*"<>/&\r\n\"' xü", "<!--", "-->", "<![CDATA[", "]]>", "<Blob>", "</Blob>", "<a/>", "<a>b</a>"]
)


@given(st.lists(st.tuples(st.integers(0, len(PAGE)), st.integers(0, 12), PIECES), min_size=1, max_size=3))
def test_any_damage(changes: list[tuple[int, int, str]]) -> None:
    """Whatever happens to a page, it says what a parser reads in it, if that takes it at all."""
    page = PAGE
    for place, length, piece in changes:
        page = page[:place] + piece + page[place + length :]
    check_as_parsed(page)
