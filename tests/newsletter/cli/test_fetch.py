"""`newsletter fetch`: one bad source delays nobody, and each gets its one line."""

from __future__ import annotations

import datetime as dt
import time

import pytest

from tests.newsletter.cli.conftest import Owner
from tests.newsletter.feeds import Answer
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


def test_new_pieces_are_stored_and_the_second_time_nothing_is_parsed(owner: Owner) -> None:
    first = owner("fetch", "--json", *NOW)
    assert first.code == 0
    assert len(first.json["sources"][0]["new"]) == 8
    second = owner("fetch", "--json", *NOW)
    assert second.json["sources"][0]["status"] == "unchanged"
    assert owner.site.asked[-1] == ("/one.xml", 304)


def test_an_equal_body_without_an_etag_is_not_parsed_again(owner: Owner) -> None:
    owner.site.answers["/one.xml"].headers["ETag"] = ""
    owner("fetch", *NOW)
    assert owner("fetch", "--json", *NOW).json["sources"][0]["status"] == "unchanged"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer(b"<html><body>Sign in</body></html>", kind="text/html"), "web page"),
        (Answer(b""), "empty"),
        (Answer(b'{"a": 1}', kind="application/json"), "JSON"),
        (Answer(b"no", 404), "404"),
        (Answer(b"no", 500), "500"),
        (Answer(b"x", seconds=5), "2 s"),
    ],
)
def test_a_bad_source_gets_one_line_and_the_others_go_on(owner: Owner, answer: Answer, said: str) -> None:
    owner.site.answers["/bad.xml"] = answer
    owner.configure("/bad.xml", "/one.xml")
    began = time.monotonic()
    run = owner("fetch", *NOW)
    assert run.code == 4
    lines = [line for line in run.err.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("Source /bad.xml: ") and said in lines[0]
    assert "Source /one.xml: 8 pieces, 8 new" in run.out
    assert time.monotonic() - began < 5


def test_a_source_that_is_down_gets_one_line(owner: Owner) -> None:
    owner.configure("/one.xml", extra='[[sources]]\nname = "Down"\nurl = "http://127.0.0.1:9/feed"\n')
    text = (owner.folder / "newsletter.toml").read_text().replace('allow = ["', 'allow = ["127.0.0.1:9", "')
    (owner.folder / "newsletter.toml").write_text(text)
    run = owner("fetch", *NOW)
    assert run.code == 4 and run.err.count("\n") == 1 and run.err.startswith("Down: ")


def test_an_address_that_is_not_public_is_refused(owner: Owner) -> None:
    owner.configure("/one.xml", extra='[[sources]]\nname = "Inside"\nurl = "http://127.0.0.1:9/feed"\n')
    run = owner("fetch", *NOW)
    assert run.code == 4 and "Inside: " in run.err and "allow" in run.err


def test_three_failures_in_a_row_are_said(owner: Owner) -> None:
    owner.site.answers["/one.xml"] = Answer(b"no", 500)
    runs = [owner("fetch", "--now", (DAY + dt.timedelta(hours=n)).isoformat()) for n in range(3)]
    assert "in a row" not in runs[1].err
    assert "(3 times in a row)" in runs[2].err
    assert "failed 3 times" in owner("sources", "list").out


def test_a_source_that_asks_for_time_gets_it_after_a_restart_too(owner: Owner) -> None:
    owner.site.answers["/one.xml"] = Answer(b"no", 429, headers={"Retry-After": "3600"})
    assert owner("fetch", *NOW).code == 4
    asked = len(owner.site.asked)
    owner("fetch", "--now", (DAY + dt.timedelta(minutes=59)).isoformat())
    assert len(owner.site.asked) == asked
    owner("fetch", "--now", (DAY + dt.timedelta(minutes=61)).isoformat())
    assert len(owner.site.asked) == asked + 1


def test_a_source_that_is_gone_is_not_asked_again(owner: Owner) -> None:
    owner.site.answers["/one.xml"] = Answer(b"no", 410)
    owner("fetch", *NOW)
    asked = len(owner.site.asked)
    again = owner("fetch", *NOW)
    assert again.code == 4 and "410" in again.err
    assert len(owner.site.asked) == asked


def test_a_page_that_cannot_be_had_is_a_note_and_asked_again_the_next_time(owner: Owner) -> None:
    owner.site.feed("/one.xml", [owner.site.item(1, words=60)])
    first = owner("fetch", "--json", *NOW).json["sources"][0]["new"][0]
    assert first["text"] == "description" and "404" in first["note"]
    paragraphs = "".join(
        f"<p>Paragraph {n} of the whole article says what it found about run {n} and why it holds.</p>"
        for n in range(40)
    )
    owner.site.answers["/posts/1"] = Answer(
        f"<html><body><article>{paragraphs}</article></body></html>".encode(), kind="text/html"
    )
    owner("fetch", "--now", (DAY + dt.timedelta(days=1)).isoformat())
    shown = owner("send", "--dry-run", "--json", "--now", (DAY + dt.timedelta(days=1)).isoformat())
    assert shown.code == 0
    assert ("/posts/1", 200) in owner.site.asked
