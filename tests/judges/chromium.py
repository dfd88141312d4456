"""The mails in Chromium: axe-core in light and dark, room at every width, with and without styles, nothing loaded."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tests.browser import looks
from tests.browser.conftest import FLAGS, PROGRAMS
from tests.judges import Mail, Verdict

if TYPE_CHECKING:
    from playwright.sync_api import Page, Request

WIDTHS = (320, 375, 600, 800)
WITHOUT_STYLE = "() => document.querySelectorAll('style').forEach(style => style.remove())"
TOO_WIDE = "() => Math.max(0, document.documentElement.scrollWidth - document.documentElement.clientWidth)"
TEXT = "() => document.body.innerText.length"


def judge(mails: Sequence[Mail]) -> list[Verdict]:
    """Two verdicts: what axe-core says, and whether there is room."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    packages = ("playwright", "axe_playwright_python")
    lacking = [name for name in packages if importlib.util.find_spec(name) is None]
    if program is None or lacking:
        what = ", ".join([*lacking, *([] if program else ["Chromium"])])
        return [Verdict(name, "", skipped=f"{what} is not here") for name in ("axe-core", "room")]
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        context = browser.new_context(offline=True)
        context.add_init_script(looks.axe_script())
        page = context.new_page()
        try:
            return [_axe(page, mails), _room(page, mails)]
        finally:
            browser.close()


def _axe(page: Page, mails: Sequence[Mail]) -> Verdict:
    faults: list[str] = []
    for mail in mails:
        page.goto("about:blank")
        page.set_content(mail.html)
        faults += [f"{mail.name}: {fault}" for fault in looks.violations_everywhere(page)]
    return Verdict("axe-core", f"{len(faults)} violations in {len(mails)} mails, light and dark", faults)


def _room(page: Page, mails: Sequence[Mail]) -> Verdict:
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    faults, looked = [], 0
    for mail in mails:
        for styled in (True, False):
            page.goto("about:blank")
            page.set_content(mail.html)
            if not styled:
                page.evaluate(WITHOUT_STYLE)
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                looked += 1
                if over := page.evaluate(TOO_WIDE):
                    how = "" if styled else " without styles"
                    faults.append(f"{mail.name}: {over} pixels too wide at {width}{how}")
    outside = [url for url in asked if not url.startswith(("about:", "data:"))]
    faults += [f"it asked for {url[:100]}" for url in outside]
    return Verdict("room", f"{looked} looks at {', '.join(map(str, WIDTHS))} pixels, {len(outside)} requests", faults)
