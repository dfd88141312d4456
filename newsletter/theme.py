"""How a newsletter looks: colours for light and for dark, fonts, and whether its text can be read on them. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

LEAST_CONTRAST = 4.5
"""What text needs to be read by people with moderately low vision (WCAG 2.2, 1.4.3)."""

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one look, as ``#rrggbb``.

    ``ink``, ``muted``, ``accent`` and ``ours`` (what we suggest or mark) are colours of text: their
    contrast is at least 4.5 on ``paper`` and on ``tint``.
    """

    paper: str
    tint: str
    ink: str
    muted: str
    accent: str
    ours: str

    @property
    def line(self) -> str:
        """The colour of lines, which only separate."""
        return mixed(self.ink, self.paper, 0.18)

    @property
    def rule(self) -> str:
        """The colour of underlines, which only go with words."""
        return mixed(self.accent, self.paper, 0.5)


LIGHT = Palette(
    paper="#ffffff",
    tint="#edf4f2",
    ink="#1b2023",
    muted="#566068",
    accent="#0b5f58",
    ours="#7c4a03",
)
DARK = Palette(
    paper="#14181a",
    tint="#1d282a",
    ink="#e4e8e7",
    muted="#a2adb1",
    accent="#7fd0c4",
    ours="#e5b871",
)


@dataclass(frozen=True, slots=True)
class Theme:
    """How a newsletter looks: two palettes, and two lists of fonts that readers have on their machines.

    Fonts are written without quotes, which CSS allows and which keeps them plain inside attributes.
    """

    light: Palette = LIGHT
    dark: Palette = DARK
    display_font: str = "Georgia, Times New Roman, Times, serif"
    text_font: str = "-apple-system, Segoe UI, Arial, sans-serif"


def luminance(colour: str) -> float:
    """Relative luminance of ``#rrggbb``, from 0 to 1 (WCAG 2.2, "relative luminance")."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (channel / 255 for channel in _channels(colour))
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """The contrast of two colours, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def mixed(one: str, other: str, share: float) -> str:
    """``share`` of one colour, and the rest of the other."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in pairs)


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
