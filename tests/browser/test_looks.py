"""The checks themselves: each finds a fault that was planted for it, and nothing on a page without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser import looks

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

RINGED = "<style>:focus-visible { outline: 3px solid }</style>"
FAULTS = {
    "pale": (looks.violations_everywhere, "<p style='color: #aaa'>Pale.</p>", "color-contrast"),
    "pale in the dark": (
        looks.violations_everywhere,
        "<style>@media (prefers-color-scheme: dark) { p { color: #777; background: #333 } }</style><p>Pale.</p>",
        "dark: color-contrast",
    ),
    "unnamed": (looks.violations_everywhere, "<input>", "label"),
    "small": (
        looks.violations_everywhere,
        "<style>button { width: 16px; height: 16px; padding: 0 }</style><p><button>a</button><button>b</button></p>",
        "target-size",
    ),
    "wide": (looks.crowding, "<p style='width: 600px'>Wide.</p>", "320 pixels: the page is wider"),
    "cut": (looks.crowding, "<p style='width: 3em; overflow: hidden; white-space: nowrap'>Cut off here.</p>", "Cut"),
    "over": (looks.crowding, "<p>Under it.</p><p style='margin-top: -2em'>Over it.</p>", "Under it. / Over it."),
    "cramped": (looks.crowding, "<div style='height: 16px'>For one line.</div><div>Next.</div>", "text of 200 %"),
    "early": (
        looks.crowding,
        "<main style='display: flex; flex-direction: column-reverse'><p>One.</p><p>Two.</p></main>",
        "above what it follows",
    ),
    "unseen": (looks.walk, "<style>:focus { outline: none }</style><button>Go</button>", "not to be seen"),
    "always ringed": (looks.walk, "<style>a { outline: 3px solid }</style><a href='#a'>Go</a>", "not to be seen"),
    "jumping": (looks.walk, f"{RINGED}<button>One</button><button tabindex=1>Two</button>", "stop 0 of 2"),
    "covered": (
        looks.walk,
        f"{RINGED}<button>One</button><p style='position: fixed; inset: 0; margin: 0; background: white'>Over.</p>",
        "covered",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(fault: str, page: Page) -> None:
    check, body, finding = FAULTS[fault]
    show(page, body)
    assert any(finding in found for found in check(page))


def test_a_page_without_fault_is_let_pass(page: Page) -> None:
    body = f"{RINGED}<h1>Well</h1><p>All is well.</p><p><button style='padding: 1em'>Go</button></p>"
    show(page, body)
    assert not looks.violations_everywhere(page) + looks.crowding(page) + looks.walk(page)


def test_a_request_that_leaves_the_machine_is_refused_and_told(page: Page, strayed: list[str]) -> None:
    show(page, "<img src='https://elsewhere.example.com/a.png' alt=''>")
    assert strayed == ["https://elsewhere.example.com/a.png"]
    strayed.clear()


def show(page: Page, body: str) -> None:
    """Show a page that is whole but for its body. The address is left first, so that nothing stays of another page."""
    page.goto("about:blank")
    looks.look(page, looks.WIDE)
    page.set_content(f"<!doctype html><html lang=en><title>A page</title><main>{body}</main></html>")
