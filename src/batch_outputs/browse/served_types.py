"""The content type under which the content of an output is sent: never one that a browser would run."""

from __future__ import annotations

import re

from batch_outputs.content_types import guess_content_type

PDF = "application/pdf"
SVG = "image/svg+xml"
TEXT = "text/plain; charset=utf-8"
UNKNOWN = "application/octet-stream"

PICTURES = frozenset(
    {
        "image/apng",
        "image/avif",
        "image/bmp",
        "image/gif",
        "image/jpeg",
        "image/png",
        "image/vnd.microsoft.icon",
        "image/webp",
        "image/x-icon",
    }
)
"""Pictures made of dots, which every browser shows."""
PLAYED = frozenset(
    {
        "application/ogg",
        "audio/aac",
        "audio/flac",
        "audio/mp3",
        "audio/mp4",
        "audio/mpeg",
        "audio/ogg",
        "audio/opus",
        "audio/wav",
        "audio/webm",
        "audio/x-aac",
        "audio/x-flac",
        "audio/x-m4a",
        "audio/x-wav",
        "video/mp4",
        "video/mpeg",
        "video/ogg",
        "video/quicktime",
        "video/webm",
        "video/x-m4v",
        "video/x-matroska",
        "video/x-msvideo",
    }
)
"""What a player may be able to play."""

_GENERIC = {"", UNKNOWN, "binary/octet-stream", "application/x-binary", "application/unknown"}
_TEXT = re.compile(
    r"text/.*|.*\+(json|xml|yaml)|"
    r"application/(json|jsonl|json-lines|x-ndjson|ndjson|json5|xml|xml-dtd|xhtml\+xml|javascript|x-javascript|"
    r"ecmascript|yaml|x-yaml|toml|sql|x-sh|x-shellscript|x-csh|x-python|x-tex|x-latex|x-subrip|graphql|rtf)"
)


def known_type(content_type: str | None, name: str) -> str:
    """The content type as it was stored, without parameters; where it says nothing, what the name says."""
    stored = (content_type or "").partition(";")[0].strip().lower()
    return guess_content_type(name) if stored in _GENERIC else stored


def served_type(content_type: str | None, name: str) -> str:
    """Pictures, sound, video and PDFs as what they are; what is text as plain text, all else as bytes."""
    known = known_type(content_type, name)
    if known in PICTURES or known in PLAYED or known in {PDF, SVG}:
        return known
    return TEXT if _TEXT.fullmatch(known) else UNKNOWN
