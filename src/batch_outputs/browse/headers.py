"""What answers say to the browser about themselves, so that nothing that a task has stored runs as a script of ours."""

from __future__ import annotations

from collections.abc import Mapping

PAGE: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; frame-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""On every answer that does not say otherwise: only what this server serves is loaded, and nobody frames it."""

TOKEN_WANTED: Mapping[str, str] = {"X-Batch-Outputs": "token"}
"""On the refusal of a browser that this run of the server does not know: by it our scripts tell that from others."""

BLOB: Mapping[str, str] = {
    "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'self'",
    "X-Frame-Options": "SAMEORIGIN",
}
"""On what a task has stored: in a sandbox without an origin, where nothing is loaded and no script runs."""

SVG: Mapping[str, str] = {
    **BLOB,
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'",
}
"""On an SVG that a task has stored: its own styles are what it looks like. They load nothing either."""
