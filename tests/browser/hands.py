"""Two hands on a keyboard: works a page by Tab, arrows, Space, Enter and letters, and by the names of its controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_STOPS = 60

NAME = """
() => {
  const at = document.activeElement;
  const label = at.labels && at.labels.length ? at.labels[0].textContent : '';
  return (at.getAttribute('aria-label') || label || at.textContent).trim().replace(/\\s+/g, ' ');
}
"""
"""The name of what has the focus, as a person hears it."""

HAS_CHOICE = """
name => {
  const at = document.activeElement;
  return at.type === 'radio' && [...document.querySelectorAll('input[type=radio]')].some(other =>
    other.name === at.name && other.labels[0].textContent.trim() === name);
}
"""


@dataclass(frozen=True, slots=True)
class Hands:
    """Works a page as someone does who has no mouse."""

    page: Page

    def reach(self, name: str) -> None:
        """Go on by Tab to the control of that name."""
        for _ in range(MOST_STOPS):
            if self.page.evaluate(NAME) == name:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"Tab leads to no {name!r}")

    def press(self, name: str, key: str = "Enter") -> None:
        """Press a button that sends a form, and wait for what it answers."""
        self.reach(name)
        self._send(key)

    def write(self, name: str, text: str) -> None:
        """Write into a field."""
        self.reach(name)
        self.page.keyboard.type(text)

    def send(self, name: str, text: str) -> None:
        """Write into a field, and send its form from there."""
        self.write(name, text)
        self._send("Enter")

    def tick(self, name: str) -> None:
        """Tick a box."""
        self.reach(name)
        self.page.keyboard.press("Space")
        assert self.page.evaluate("document.activeElement.checked"), f"{name!r} does not tick"

    def choose(self, name: str) -> None:
        """Choose one of a group by the arrows."""
        for _ in range(MOST_STOPS):
            if self.page.evaluate(HAS_CHOICE, name):
                break
            self.page.keyboard.press("Tab")
        for _ in range(MOST_STOPS):
            if self.page.evaluate(NAME) == name:
                return
            self.page.keyboard.press("ArrowDown")
        raise AssertionError(f"the arrows lead to no {name!r}")

    def _send(self, key: str) -> None:
        with self.page.expect_navigation():
            self.page.keyboard.press(key)
