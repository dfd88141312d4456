"""`newsletter send`: what is shown is what goes out, once."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import subscribers
from newsletter.store import open_store
from subscribers import Format, Preferences
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


def _subscribe(owner: Owner, *people: tuple[str, Preferences]) -> None:
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        for address, preferences in people:
            subscribers.add(
                session, address, now=DAY, how="test", consent_text="yes", active=True, preferences=preferences
            )
    store.close()


def _without_tokens(data: bytes) -> bytes:
    """A message with the tokens of its links blanked, and soft line breaks undone, which fall elsewhere with them."""
    joined = re.sub(rb"=\r\n", b"", data)
    joined = re.sub(rb"(/[a-z]+/)[a-z]\.[A-Za-z0-9._-]+", rb"\1TOKEN", joined)
    joined = re.sub(rb"(/[a-z]+/)preview-[a-z]-+", rb"\1TOKEN", joined)
    return re.sub(rb"=_[0-9a-f]{40}", b"BOUNDARY", joined)


def test_a_dry_run_builds_reports_and_hands_nothing_over(owner: Owner) -> None:
    run = owner("send", "--dry-run", *NOW)
    assert run.code == 0
    for label in ("Subject", "Preheader", "Pieces", "Left out", "Audience", "Editions", "Headers", "Checks", "Cost"):
        assert f"\n{label}" in run.out
    assert "Nothing was handed over." in run.out
    assert not (owner.folder / "data" / "outbox").exists()
    preview = owner.folder / "data" / "preview" / "issue-1"
    assert {path.name for path in preview.iterdir()} == {
        "index.html",
        "edition-a.html",
        "edition-a.txt",
        "edition-a.eml",
        "report.json",
    }


def test_with_a_draft_a_dry_run_opens_no_socket_and_changes_no_byte_of_the_database(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owner("build", *NOW).code == 0
    before = hashlib.sha256(owner.database.read_bytes()).hexdigest()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for _ in range(10):
        assert owner("send", "--dry-run", *NOW).code == 0
    assert hashlib.sha256(owner.database.read_bytes()).hexdigest() == before


def test_ten_dry_runs_leave_the_next_issue_what_it_was(owner: Owner) -> None:
    first = owner("send", "--dry-run", "--json", *NOW).json
    for _ in range(9):
        assert owner("send", "--dry-run", "--json", *NOW).json == first
    sent = owner("send", "--yes", "--json", *NOW).json
    assert sent["issue"] == first["issue"] and sent["title"] == first["title"]
    assert owner("issues", "show", "1", "--json").json["pieces"] == [
        {key: piece[key] for key in ("piece", "title", "source", "kind", "score", "why")} for piece in first["pieces"]
    ]


def test_what_is_shown_is_byte_for_byte_what_is_sent_but_for_the_tokens(owner: Owner) -> None:
    titles = [f"A theorem on the geometry of number {n}" if n % 2 else "" for n in range(1, 9)]
    owner.site.feed("/one.xml", [owner.site.item(n, title=title) for n, title in enumerate(titles, 1)])
    owner("build", *NOW)
    _subscribe(
        owner,
        ("ada@example.com", Preferences()),
        ("eve@example.com", Preferences(topics=frozenset({"theory"}))),
        ("tom@example.com", Preferences(topics=frozenset({"absent"}), format=Format.TEXT)),
    )
    owner("send", "--dry-run", *NOW)
    assert owner("send", "--yes", *NOW).code == 0
    shown = {}
    for path in (owner.folder / "data" / "preview" / "issue-1").glob("*.eml"):
        data = path.read_bytes()
        to = re.search(rb"^To: (.*)\r$", data, re.MULTILINE)
        assert to
        shown[to.group(1)] = _without_tokens(data)
    sent = {}
    for path in (owner.folder / "data" / "outbox").glob("*.eml"):
        data = path.read_bytes()
        to = re.search(rb"^To: (.*)\r$", data, re.MULTILINE)
        assert to
        sent[to.group(1)] = _without_tokens(data)
    assert len(shown) >= 2
    for address, message in shown.items():
        assert message == sent[address]


def test_a_preview_holds_no_token_that_works(owner: Owner) -> None:
    owner("build", *NOW)
    _subscribe(owner, ("ada@example.com", Preferences()))
    owner("send", "--dry-run", *NOW)
    page = (owner.folder / "data" / "preview" / "issue-1" / "edition-a.html").read_text()
    assert "/u/preview-u" in page


def test_sending_twice_hands_over_once(owner: Owner) -> None:
    owner("build", *NOW)
    _subscribe(owner, ("ada@example.com", Preferences()))
    assert owner("send", "--yes", "--json", *NOW).json["states"] == {"accepted": 1}
    again = owner("send", "--yes", "--json", *NOW)
    assert (again.code, again.json["reason"]) == (0, "today's issue 1 is out already")


def test_ninety_days_over_an_unchanging_feed_publish_each_piece_at_most_once(owner: Owner) -> None:
    owner.site.feed("/one.xml", [owner.site.item(n, days_ago=n / 10) for n in range(1, 21)])
    reasons = []
    for day in range(90):
        run = owner("send", "--yes", "--json", "--now", (DAY + dt.timedelta(days=day)).isoformat())
        assert run.code == 0
        reasons.append(run.json.get("reason"))
    with closing(sqlite3.connect(owner.database)) as database:
        published = [row[0] for row in database.execute("SELECT piece_id FROM publication")]
        in_issues = [
            row[0]
            for row in database.execute(
                "SELECT piece_id FROM issue_piece JOIN issue ON issue.id = issue_id WHERE state = 'frozen'"
            )
        ]
    assert sorted(published) == sorted(in_issues) == sorted(set(published)) == list(range(1, 21))
    assert reasons.count(None) == 4
    assert all(reason for reason in reasons[4:])


def test_a_piece_fetched_late_with_an_older_date_still_comes_out(owner: Owner) -> None:
    owner("send", "--yes", *NOW)
    owner.site.feed("/one.xml", [owner.site.item(n, days_ago=15) for n in range(21, 25)])
    run = owner("send", "--yes", "--json", "--now", (DAY + dt.timedelta(days=1)).isoformat())
    assert run.json["issue"] == 2
    titles = {piece["title"] for piece in owner("issues", "show", "2", "--json").json["pieces"]}
    assert any(f"Finding {n}:" in title for n in range(21, 25) for title in titles)


def test_a_draft_whose_inputs_changed_is_made_anew_and_said(owner: Owner) -> None:
    owner("build", *NOW)
    next_day = (DAY + dt.timedelta(days=1)).isoformat()
    shown = owner("send", "--dry-run", "--now", next_day)
    assert "has changed" in shown.err
    sent = owner("send", "--yes", "--now", next_day)
    assert "it was made anew" in sent.err
    assert owner("issues", "list", "--json").json["issues"][0]["title"].endswith("30 May 2026")


def test_without_yes_and_without_a_terminal_nothing_is_sent(owner: Owner) -> None:
    run = owner("send", *NOW)
    assert run.code == 5
    assert "`newsletter send --yes` sends" in run.err
    assert owner("issues", "list", "--json").json["issues"][0]["state"] == "draft"


def test_an_issue_that_was_interrupted_goes_on_with_the_same_command(owner: Owner) -> None:
    owner("build", *NOW)
    _subscribe(owner, ("ada@example.com", Preferences()), ("bob@example.com", Preferences()))
    outbox = owner.folder / "data" / "outbox"
    outbox.write_text("in the way")
    stopped = owner("send", "--yes", *NOW)
    assert stopped.code == 5 and "set delivery.outbox" in stopped.err
    outbox.unlink()
    assert owner("send", "--yes", "--json", *NOW).json["states"] == {"accepted": 2}


def test_same_input_same_bytes(owner: Owner, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert owner("send", "--dry-run", "--out", str(tmp_path / name), *NOW).code == 0
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


@pytest.mark.parametrize(("number", "code"), [("7", 2), ("-1", 2), ("x", 2)])
def test_an_issue_that_there_is_not_is_a_usage_error(owner: Owner, number: str, code: int) -> None:
    owner("build", *NOW)
    try:
        assert owner("send", number, "--dry-run").code == code
    except SystemExit as error:
        assert error.code == code


def test_an_issue_that_cannot_be_rendered_is_not_frozen(owner: Owner) -> None:
    template = owner.folder / "mine" / "email" / "issue.mjml"
    template.parent.mkdir(parents=True)
    template.write_text("{{ 1 // 0 }}", "utf-8")
    config = owner.folder / "newsletter.toml"
    config.write_text(config.read_text("utf-8") + '[theme]\ntemplates = "mine"\n', "utf-8")
    run = owner("send", "--yes", *NOW)
    assert run.code == 3 and f"{template}:1: " in run.err and "Traceback" not in run.err
    template.unlink()
    assert owner("send", "--yes", *NOW).code == 0
