"""A real Chromium for whole visits, where one is installed."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import expect

LAUNCH_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]

# Playwright's synchronous interface runs an event loop, in which Django would refuse its database.
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


def chromium_path() -> str | None:
    """The Chromium of this machine, or None."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    return found or next((path for path in ["/usr/bin/chromium"] if Path(path).exists()), None)


@pytest.fixture(scope="session")
def chromium():
    """A running Chromium; the test is skipped, with the reason, where none is installed."""
    path = chromium_path()
    if path is None:
        pytest.skip("no Chromium on this machine: install the system package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=LAUNCH_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(chromium):
    """Makes pages, each in a browser profile of its own; its options are those of a context."""
    contexts = []

    def make(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=60_000)  # a busy machine is slow, not wrong
        return page

    yield make
    for context in contexts:
        # A page sends its last words when it goes: let them arrive while there is a database.
        context.set_offline(False)
        for page in context.pages:
            page.goto("about:blank")
            page.wait_for_timeout(150)
        context.close()
