"""What is asked of every page as Chromium shows it: axe-core's rules, room for the text, an order, a visible focus."""

from __future__ import annotations

import functools
import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from playwright.sync_api import Page

Scheme = Literal["light", "dark"]

SCHEMES: tuple[Scheme, ...] = ("light", "dark")
WIDE, ZOOMED, NARROW = 1280, 640, 320
"""A desktop's width; the same at 200 % zoom; a phone's, which is also the desktop's at 400 % (WCAG 2.2, 1.4.10)."""
HEIGHT = 900
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa")
"""WCAG 2.0 to 2.2, levels A and AA, as axe-core names them. No rule is of 2.2 A today."""

RUN_AXE = """
async options => (await axe.run(document, options)).violations.map(found => [
  found.id, found.help, found.nodes.map(node => [node.html, node.failureSummary])
])
"""

OVERFLOW = """
function overflow() {
  const width = document.documentElement.clientWidth;
  const out = [...document.body.querySelectorAll('*')].filter(element => {
    const box = element.getBoundingClientRect();
    return box.right > width + 1 && box.width > 0 && !element.closest('.skip, .visually-hidden');
  });
  const cut = [...document.body.querySelectorAll('*')].filter(element =>
    !element.closest('.visually-hidden') && !element.matches('input, select, textarea') &&
    getComputedStyle(element).overflowX !== 'visible' && element.scrollWidth > element.clientWidth + 1);
  const wide = document.documentElement.scrollWidth > width ? ['the page is wider than the window'] : [];
  return [...wide, ...[...out, ...cut].map(element => element.outerHTML.slice(0, 120))];
}
"""

# Every line of text and every control as a box. Two boxes of different places must not lie over each other.
OVERLAP = """
function overlap() {
  const boxes = [];
  const add = (what, box, within) => {
    if (box.width > 1 && box.height > 1) boxes.push({what, box, within});
  };
  const hidden = element => element.closest('.skip, .visually-hidden, option, title, style, [hidden]');
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    if (!node.data.trim() || hidden(node.parentElement)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) add(node.data.trim().slice(0, 60), box, node);
  }
  for (const control of document.querySelectorAll('input, select, textarea, button')) {
    if (!hidden(control)) add(control.outerHTML.slice(0, 60), control.getBoundingClientRect(), control);
  }
  const over = [];
  for (let i = 0; i < boxes.length; i++) for (let j = i + 1; j < boxes.length; j++) {
    const [a, b] = [boxes[i], boxes[j]];
    if (a.within === b.within || a.within.contains(b.within) || b.within.contains(a.within)) continue;
    const width = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
    const height = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
    // Text boxes hold room above and below the letters, which may meet.
    if (width > 2 && height > 0.3 * Math.min(a.box.height, b.box.height)) over.push(`${a.what} / ${b.what}`);
  }
  return over;
}
"""

# What a block of text says comes before what the next block in the document says.
DISORDER = """
function disorder() {
  const blocks = [...document.querySelectorAll('h1, h2, h3, p, li, label, legend, button, input, select, textarea')]
    .filter(block => !block.closest('.visually-hidden') && block.getClientRects().length &&
      !block.querySelector('h1, h2, h3, p, li, label, legend, button, input, select, textarea'));
  const wrong = [];
  for (let i = 1; i < blocks.length; i++) {
    const [before, after] = [blocks[i - 1].getBoundingClientRect(), blocks[i].getBoundingClientRect()];
    if (after.bottom <= before.top) wrong.push(`${blocks[i].outerHTML.slice(0, 80)} stands above what it follows`);
  }
  return wrong;
}
"""

SPACE_OUT = """
is_on => {
  const sheet = new CSSStyleSheet();
  if (is_on) sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: .12em !important;
    word-spacing: .16em !important; } p { margin-bottom: 2em !important; }`);
  document.adoptedStyleSheets = [sheet];
}
"""
"""The distances that a reader may set (WCAG 2.2, 1.4.12)."""

TEXT_SIZE = "percent => { document.documentElement.style.fontSize = `${percent}%` }"

STOPS = """
() => {
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
    .filter(one => one.tabIndex >= 0 && !one.disabled && one.type !== 'hidden' && one.getClientRects().length);
  const stops = all.filter(one => one.type !== 'radio' || one.checked ||
    !all.some(other => other.type === 'radio' && other.name === one.name && other.form === one.form &&
      (other.checked || other.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING)));
  const ring = one => {
    const style = getComputedStyle(one);
    const outline = style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2;
    return `${outline ? style.outline : ''} ${style.boxShadow}`;
  };
  window.walk = {stops, ring, rest: stops.map(ring)};
  return stops.length;
}
"""
"""Finds where Tab stops: of radio buttons with one name only at the chosen one, or the first when none is."""

FOCUSED = """
() => {
  const at = document.activeElement, place = walk.stops.indexOf(at);
  // A link over several lines may have nothing in the middle of them all.
  const shown = [...at.getClientRects()].some(part => {
    const top = document.elementFromPoint(part.left + part.width / 2, part.top + part.height / 2);
    return top && (at.contains(top) || top.contains(at));
  });
  return {place, shown, seen: place >= 0 && walk.ring(at) !== walk.rest[place], what: at.outerHTML.slice(0, 100)};
}
"""
"""What has the focus: which stop it is, whether it can be told from one without, and whether nothing lies over it."""


@functools.cache
def axe_script() -> str:
    """axe-core's own code, from the package that carries it.

    The browser brings it into pages from outside, so that their policy on scripts stays as it is.
    """
    from axe_playwright_python.sync_playwright import Axe

    return str(Axe().axe_script)


def violations(page: Page, tags: tuple[str, ...] = TAGS) -> list[str]:
    """What axe-core has against a page that it was brought into, a line for each element."""
    options = {"runOnly": list(tags), "resultTypes": ["violations"]}
    found: list[Any] = page.evaluate(RUN_AXE, options)
    return [f"{rule}: {says}: {html}: {why}" for rule, says, nodes in found for html, why in nodes]


def look(page: Page, width: int, scheme: Scheme | None = None) -> None:
    """Show the page in a window of that width, and in that colour scheme when one is given."""
    if scheme is not None:
        page.emulate_media(color_scheme=scheme)
    if page.viewport_size != {"width": width, "height": HEIGHT}:
        page.set_viewport_size({"width": width, "height": HEIGHT})


def violations_everywhere(page: Page) -> list[str]:
    """What axe-core has against it at a desktop's and a phone's width, in light and dark."""
    found = []
    for scheme in SCHEMES:
        for width in (WIDE, NARROW):
            look(page, width, scheme)
            found += [f"{width} pixels, {scheme}: {violation}" for violation in violations(page)]
    return found


def crowding(page: Page) -> list[str]:
    """What does not fit, lies over something else or is out of order, at any size that a reader may choose."""
    found = []
    for width in (WIDE, ZOOMED, NARROW):
        look(page, width)
        found += [f"{width} pixels: {what}" for what in squeezed(page)]
    page.evaluate(SPACE_OUT, True)
    found += [f"spaced out: {what}" for what in squeezed(page)]
    page.evaluate(SPACE_OUT, False)
    look(page, WIDE)
    page.evaluate(TEXT_SIZE, 200)
    found += [f"text of 200 %: {what}" for what in squeezed(page)]
    page.evaluate(TEXT_SIZE, 100)
    return found


def squeezed(page: Page) -> list[str]:
    """What stands out of the window at its right, is cut off, lies over something else, or comes too early."""
    return list(
        page.evaluate(
            f"() => {{ {OVERFLOW} {OVERLAP} {DISORDER} return [...overflow(), ...overlap(), ...disorder()] }}"
        )
    )


def walk(page: Page) -> list[str]:
    """What is wrong with a walk through the page by Tab: an order, a stop left out, a focus that cannot be seen."""
    count = page.evaluate(STOPS)
    wrong = []
    for place in range(count):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at["place"] != place:
            wrong.append(f"stop {place} of {count} is {json.dumps(at['what'])}")
        if not at["seen"]:
            wrong.append(f"the focus is not to be seen: {at['what']}")
        if not at["shown"]:
            wrong.append(f"the focus is covered: {at['what']}")
    return wrong
