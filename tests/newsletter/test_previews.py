"""What the owner is told before anything goes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from newsletter import previews
from newsletter.config import Config
from newsletter.rendering import MOST_HTML_BYTES, Masthead, Renderer, templates_folder
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


def test_a_piece_about_style_sheets_loads_nothing(house: House) -> None:
    said = "Write <img src=https://example.com/x> or background:url(https://example.com/y), and <link href=z> too."
    section = Section("summary", "", SectionShape.PROSE, ((Claim(said),),))
    number = house.write(entry(title=said, summary=Summary(SummaryKind.DIGEST, (section,), "claude", "model-1")))
    with house.store.read() as session:
        preview = previews.prepare(house.press, session, number)
    (found,) = (check for check in preview.checks if check.name == "external requests")
    assert (found.ok, found.detail) == (True, "none")


@pytest.mark.parametrize(
    "markup",
    [
        '<img src="https://example.com/x" />',
        '<table background="https://example.com/x"></table>',
        '<link rel="stylesheet" href="https://example.com/x" />',
        "<style>@media all { p { background: url('https://example.com/x') } }</style>",
        '<p style="color: red; background: url(https://example.com/x)"></p>',
    ],
)
def test_what_a_mail_would_load_is_named(house: House, tmp_path: Path, markup: str) -> None:
    ours = (templates_folder() / "email" / "end.mjml").read_text("utf-8")
    (tmp_path / "email").mkdir()
    (tmp_path / "email" / "end.mjml").write_text(f"<mj-raw>{markup}</mj-raw>{ours}", "utf-8")
    press = replace(house.press, renderer=Renderer(Masthead("Digest", "https://example.com"), tmp_path))
    number = house.write()
    with house.store.read() as session:
        preview = previews.prepare(press, session, number)
    (found,) = (check for check in preview.checks if check.name == "external requests")
    assert (found.ok, found.detail) == (False, "https://example.com/x")


def test_the_page_links_to_no_address_but_of_the_web(house: House) -> None:
    number = house.write(entry(title="Run", url="javascript:run()"), entry(title="Read", url="https://example.com/a"))
    with house.store.read() as session:
        preview = previews.prepare(house.press, session, number)
    shown = previews.page(house.press, preview)
    assert 'href="https://example.com/a">Read</a>' in shown and 'href="javascript:' not in shown
