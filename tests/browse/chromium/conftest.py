"""A Chromium for all tests of this folder, a window of its own for each, and outputs of many kinds to look at.

Playwright runs an event loop in the main thread as long as the browser is there, so a test in this folder cannot run
one of its own: it talks to storage through `batch_outputs.sync` or the command. The browser is closed when the last
test of the folder has ended, before others need the thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page

from support import page as http
from support.browser import Open, Window, open_window, running_chromium
from support.studio import Studio, running_studio


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for the folder."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture
def open_on(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Open]:
    """Open a window on a page; at the end of the test it must have had nothing to complain of."""
    with ExitStack() as stack:

        def open_another(server: http.Page, **options: object) -> Window:
            return stack.enter_context(open_window(chromium, server.address, request.node.name, **options))

        yield open_another


@pytest.fixture
def window(page: http.Page, open_on: Open) -> Window:
    """A window on the page of the place."""
    return open_on(page)


@pytest.fixture
def tab(window: Window) -> Page:
    """The window's tab."""
    return window.tab


@pytest.fixture(scope="package")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """Many outputs, and the page that shows them."""
    with running_studio(tmp_path_factory.mktemp("studio")) as studio:
        yield studio
