"""Names of files that a browser keeps: safe on every system, and what they look like."""

from __future__ import annotations

import re
from urllib.parse import quote

from batch_outputs.local_names import local_path

# What makes text run the other way, or breaks or hides it: `photo\u202egnp.exe` looks like a picture.
_MISLEADING = re.compile(r"[\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def safe_path(name: str) -> str:
    """A relative path with `/` that every system can hold, for a stored name; the same for the same name."""
    text = _MISLEADING.sub("_", name.encode("utf-8", "replace").decode())
    path = local_path(text, windows=True).replace("\\", "/")
    return local_path(path, windows=False)  # which counts bytes, where Windows counts characters


def attachment(name: str) -> str:
    """The value of `Content-Disposition` that has a browser keep what it gets under this name."""
    return f"attachment; {_file_name(name)}"


def inline(name: str) -> str:
    """The value of `Content-Disposition` that has a browser show what it gets, and keep it under this name."""
    return f"inline; {_file_name(name)}"


def _file_name(name: str) -> str:
    base = safe_path(name.rsplit("/", 1)[-1])
    return f"filename*=UTF-8''{quote(base, safe='')}"
