"""Drives a real Chromium against pages that are served on loopback. Without Chromium the tests skip, and say so."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.browser import looks
from tests.browser.town import Town, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name is looked up anywhere, not even by the browser for itself.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)
TIMEOUT_MILLISECONDS = 10_000
WITHOUT_STYLE = """
addEventListener('DOMContentLoaded', () => document.querySelectorAll('style').forEach(style => style.remove()))
"""

Open = Callable[..., AbstractContextManager["Page"]]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The machine's Chromium; none is ever downloaded."""
    driver = pytest.importorskip("playwright.sync_api", reason="needs the packages of the extra `browser`")
    pytest.importorskip("axe_playwright_python", reason="needs the packages of the extra `browser`")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"needs Chromium, and PATH has none of {', '.join(PROGRAMS)}")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def strayed() -> list[str]:
    """Addresses outside this machine that a page asked for. They are refused."""
    return []


@pytest.fixture(autouse=True)
def everything_stays_here(strayed: list[str]) -> Iterator[None]:
    """Fail a test whose page would have left this machine."""
    yield
    found = strayed.copy()
    strayed.clear()
    assert not found


@pytest.fixture(scope="session")
def open_page(chromium: Browser, strayed: list[str]) -> Open:
    """Opens a page of its own, without cookies or cache of any other, whose requests stay on loopback."""

    @contextmanager
    def opened(
        width: int = looks.WIDE, height: int = 900, *, scale: float = 1, styled: bool = True, script: str = ""
    ) -> Iterator[Page]:
        context = chromium.new_context(viewport={"width": width, "height": height}, device_scale_factor=scale)
        context.set_default_timeout(TIMEOUT_MILLISECONDS)
        context.add_init_script(script if styled else WITHOUT_STYLE)
        context.route("**/*", judge)
        try:
            yield context.new_page()
        finally:
            context.close()

    def judge(route: Route) -> None:
        if urlsplit(route.request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            strayed.append(route.request.url)
            route.abort()

    return opened


@pytest.fixture(scope="session")
def page(open_page: Open) -> Iterator[Page]:
    """One page for all tests that only look, with axe-core in it."""
    with open_page(script=looks.axe_script()) as page:
        yield page


@pytest.fixture(scope="session")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    """The newsletter that is looked at."""
    with served(tmp_path_factory.mktemp("town")) as town:
        yield town
