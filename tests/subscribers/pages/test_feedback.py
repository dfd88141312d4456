"""Feedback: one word a reader and piece, said by a button and not by a link."""

from __future__ import annotations

import subscribers
from newsletter import issues
from subscribers import Votes
from tests.newsletter.web.conftest import House, entry
from tests.subscribers.pages.conftest import Site, main_text


def votes(site: Site, issue: int) -> list[Votes]:
    """The votes on an issue's pieces, in its order."""
    with site.store.read() as session:
        ids = [entry.piece.id for entry in issues.load(session, issue).pieces]
        found = subscribers.votes(session, ids)
    return [found.get(piece, Votes()) for piece in ids]


def test_the_last_word_counts_and_each_reader_and_piece_has_one(site: Site) -> None:
    ada, bo, issue = site.reader(), site.reader("bo@example.com"), site.publish()
    for word in ("no", "yes", "yes"):
        site.client.post(site.feedback(ada, issue, 1), data={"worth": word})
    site.client.post(site.feedback(bo, issue, 1), data={"worth": "no"})
    site.client.post(site.feedback(bo, issue, 3), data={"worth": "yes"})
    assert votes(site, issue) == [Votes(1, 1), Votes(), Votes(1, 0)]
    assert "You said that it was. Thank you" in main_text(site.client.get(site.feedback(ada, issue, 1)).text)
    assert "You said" not in site.client.get(site.feedback(ada, issue, 2)).text


def test_only_a_button_counts(site: Site) -> None:
    path = site.feedback(site.reader(), site.publish(), 1)
    before = site.dump()
    answers = [site.client.get(path), site.client.head(path)]
    for form in ({}, {"worth": "maybe"}, {"worth": "<script>"}, {"List-Unsubscribe": "One-Click"}):
        answers.append(site.client.post(path, data=form))
    assert {answer.status_code for answer in answers} == {200}
    assert site.dump() == before


def test_a_number_that_no_piece_has_is_a_dead_link(site: Site) -> None:
    path = site.feedback(site.reader(), site.publish(), 1).removesuffix("/1")
    before = site.dump()
    for number in ("0", "4", "00", "9" * 30, "-1", "1.0", "x", "1/2"):
        for answer in (
            site.client.get(f"{path}/{number}"),
            site.client.post(f"{path}/{number}", data={"worth": "yes"}),
        ):
            assert answer.status_code == 404
    assert site.dump() == before


def test_a_piece_that_was_withdrawn_or_is_not_out_yet_is_a_dead_link(site: Site) -> None:
    reader, house = site.reader(), House(site.press)
    issue, draft = house.publish(), house.write()
    house.correct(issue, 2, "As its author wished.", withdrawn=True)
    for path in (site.feedback(reader, issue, 2), site.feedback(reader, draft, 1), site.feedback(reader, 77, 1)):
        answer = site.client.post(path, data={"worth": "yes"})
        assert answer.status_code == 404 and "This link opens nothing" in main_text(answer.text)
    assert site.client.post(site.feedback(reader, issue, 3), data={"worth": "yes"}).status_code == 200


def test_who_was_erased_is_told_that_nothing_is_kept(site: Site) -> None:
    reader, issue = site.reader(), site.publish()
    path = site.feedback(reader, issue, 1)
    site.client.post(path, data={"worth": "yes"})
    site.erase(reader)
    assert votes(site, issue) == [Votes()] * 3
    for answer in (site.client.get(path), site.client.post(path, data={"worth": "yes"})):
        assert answer.status_code == 410 and "Nothing is kept about you" in main_text(answer.text)
    assert votes(site, issue) == [Votes()] * 3


def test_a_title_that_looks_like_markup_is_text(site: Site) -> None:
    issue = House(site.press).publish(entry(title="<script>alert(1)</script> & more"))
    page = site.client.get(site.feedback(site.reader(), issue, 1)).text
    assert "<script" not in page and "<script>alert(1)</script> & more" in main_text(page)
