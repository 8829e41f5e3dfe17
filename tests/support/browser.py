"""A real browser for the tests of the page: Debian's Chromium, driven by Playwright, with an eye on what it says."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from playwright.sync_api import Browser, BrowserContext, Dialog, Page, Request, expect, sync_playwright

from support.peers import program

_OF_THE_BROWSER = ("about:", "blob:", "chrome:", "chrome-extension:", "data:")
"""What its viewer of documents loads of its own parts."""
KEPT_IN = "BATCH_OUTPUTS_TESTS_TRACES"
"""The variable that names a folder for a trace and a last screenshot of each window; without it none are kept."""
PATIENCE = 60_000.0
"""Milliseconds for which anything on a page is waited for."""


@contextmanager
def running_chromium() -> Iterator[Browser]:
    """One browser without a window, for many contexts."""
    # A sandbox is not to be had as root, and what is shown here is our own.
    unboxed = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program("chromium"), args=[*unboxed, "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A browser of its own, with cookies of its own and one tab, that notes down everything it complains of.

    At its end there must be no complaint: no error in the console, no exception in a script, nothing that the
    Content-Security-Policy has refused, no request to anywhere but the server that it was opened for.
    """

    def __init__(self, context: BrowserContext, origin: str) -> None:
        self.context = context
        self.origin = origin
        self.complaints: list[str] = []
        self._expected: list[str] = []
        context.set_default_timeout(PATIENCE)
        context.on("page", self._watch)
        context.on("request", self._note_strangers)
        context.on("weberror", lambda error: self.complaints.append(f"exception: {error.error}"))
        self.tab = context.new_page()

    def expect(self, complaint: str) -> None:
        """Let pass complaints in which this regular expression is found."""
        self._expected.append(complaint)

    @property
    def unexpected(self) -> list[str]:
        """Complaints that no test has expected."""
        return [text for text in self.complaints if not any(re.search(known, text) for known in self._expected)]

    def _watch(self, tab: Page) -> None:
        tab.on("dialog", self._refuse_dialog)
        tab.on("console", lambda message: self._hear(message.type, message.text))

    def _refuse_dialog(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _hear(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.complaints.append(f"console: {text}")

    def _note_strangers(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", *_OF_THE_BROWSER)):
            self.complaints.append(f"asked a stranger: {request.url}")


Open: TypeAlias = Callable[..., Window]
"""What the fixture `open_on` gives: `open_on(page, **options)` is a window on a server's page."""


def wait_at(tab: Page, condition: Callable[[], bool]) -> None:
    """Let the browser go on until something has come about of which a test has no other sign."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        tab.wait_for_timeout(20)


@contextmanager
def open_window(browser: Browser, address: str, name: str, **options: Any) -> Iterator[Window]:
    """A window on the page at an address, entered by it; the options are those of a Playwright context."""
    context = browser.new_context(**options)
    kept = os.environ.get(KEPT_IN)
    if kept:
        context.tracing.start(screenshots=True, snapshots=True)
    try:
        window = Window(context, address.partition("/?")[0])
        window.tab.goto(address)
        yield window
        assert not window.unexpected, "\n".join(window.unexpected)
    finally:
        if kept:
            _keep(context, Path(kept) / re.sub(r"[^\w.-]+", "-", name))
        context.close()


def _keep(context: BrowserContext, path: Path) -> None:
    for number, tab in enumerate(context.pages):
        tab.screenshot(path=f"{path}-{number}.png", full_page=True)
    context.tracing.stop(path=f"{path}.zip")
