"""Colours are measured as WCAG says, and ours can be read."""

from __future__ import annotations

import pytest

from newsletter.theme import DARK, LEAST_CONTRAST, LIGHT, Palette, contrast, mixed


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_every_colour_of_text_stands_out(palette: Palette) -> None:
    for text in (palette.ink, palette.muted, palette.accent, palette.ours):
        assert contrast(text, palette.paper) >= LEAST_CONTRAST
        assert contrast(text, palette.tint) >= LEAST_CONTRAST


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == contrast("#ffffff", "#000000") == pytest.approx(21)
    # The grey that is known to be just enough on white, and the next one.
    assert contrast("#767676", "#ffffff") > LEAST_CONTRAST > contrast("#777777", "#ffffff")


def test_colours_mix_channel_by_channel() -> None:
    assert mixed("#ff0000", "#0000ff", 0.5) == "#800080"
    assert mixed("#123456", "#ffffff", 1) == "#123456"
