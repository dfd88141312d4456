"""What the owner is told before anything goes out."""

from __future__ import annotations

from pathlib import Path

import pytest

from newsletter import previews
from newsletter.config import Config
from newsletter.rendering import MOST_HTML_BYTES
from newsletter.store import open_store
from newsletter.values import Claim, IssuePiece, Section, SectionShape, Summary, SummaryKind
from tests.newsletter import makers
from tests.newsletter.web.conftest import House, entry, press_for


@pytest.fixture
def house(tmp_path: Path) -> House:
    """A newsletter without an issue."""
    return House(press_for(open_store(f"sqlite:///{tmp_path / 'newsletter.sqlite3'}"), Config()))


def wordy(number: int) -> IssuePiece:
    """A piece whose summary has nine kilobytes."""
    blocks = tuple((Claim(makers.prose(160, 10 * number + part).replace("\n\n", " ")),) for part in range(7))
    section = Section("summary", "", SectionShape.PROSE, blocks)
    return entry(summary=Summary(SummaryKind.DIGEST, (section,), "claude", "model-1"))


def test_the_owner_is_told_which_pieces_were_shortened(house: House) -> None:
    number = house.write(*(wordy(place) for place in range(12)))
    with house.store.read() as session:
        preview = previews.prepare(house.press, session, number)
    (edition,) = preview.editions
    assert edition.shortened and edition.sizes["html"] <= MOST_HTML_BYTES
    (size,) = (check for check in preview.checks if check.name == "HTML size")
    told = ", ".join(map(str, edition.shortened))
    assert size.ok and size.detail.endswith(f"; shortened to fit, with a link to the rest: edition A (pieces {told})")
    assert previews.report(preview)["editions"][0]["shortened"] == list(edition.shortened)
    assert f"<dd>pieces {told}, so that" in previews.page(house.press, preview)


def test_what_fits_is_said_to_fit_and_no_more(house: House) -> None:
    number = house.write()
    with house.store.read() as session:
        preview = previews.prepare(house.press, session, number)
    assert preview.editions[0].shortened == ()
    assert not any("shortened" in check.detail for check in preview.checks)
    assert "data-stamp=" not in previews.page(house.press, preview)
    assert 'data-stamp="now"' in previews.page(house.press, preview, "now")
