"""`newsletter send`: what is shown is what goes out, once."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import hashlib
import logging
import re
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

import subscribers
from newsletter.store import open_store
from subscribers import Format, Preferences
from tests.newsletter import postfix
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.fake_claude import KEY, FakeClaude, Handler, error, good, overloaded, refusal
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())
ROOT = Path(__file__).parents[3]


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
    return re.sub(rb"=_[0-9a-f]{24}", b"BOUNDARY", joined)


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_a_test_copy_goes_to_one_address_outside_the_ledger(owner: Owner) -> None:
    owner("build", *NOW)
    _subscribe(owner, ("ada@example.com", Preferences()))
    for _ in range(2):
        run = owner("send", "--test", "owner@example.com", "--json", *NOW)
        assert run.code == 0 and run.json["subject"].startswith("[Test] ")
    mails = [path.read_bytes() for path in (owner.folder / "data" / "outbox").glob("*.eml")]
    assert len(mails) == 2
    assert all(b"To: owner@example.com" in mail and b"/u/preview-u" in mail for mail in mails)
    assert len({re.search(rb"^Message-ID:\s*(\S+)", mail, re.MULTILINE)[1] for mail in mails}) == 2  # type: ignore[index]
    listed = owner("issues", "list", "--json").json["issues"][0]
    assert (listed["state"], listed["deliveries"]) == ("draft", {})


def test_a_test_copy_never_goes_to_who_said_no_or_to_what_is_no_address(owner: Owner) -> None:
    owner("build", *NOW)
    _subscribe(owner, ("ada@example.com", Preferences()))
    owner("subscribers", "unsubscribe", "ada@example.com")
    refused = owner("send", "--test", "ada@example.com", *NOW)
    assert refused.code == 5 and "unsubscribed" in refused.err
    assert owner("send", "--test", "nobody", *NOW).code == 2
    assert not (owner.folder / "data" / "outbox").exists()


@pytest.mark.slow
def test_what_is_too_late_is_not_sent_by_itself_and_the_next_issue_goes_on(owner: Owner) -> None:
    owner.configure("/one.xml", extra="[selection]\nmax_per_source = 5\n[delivery]\nlocal_hour = 9")
    owner("build", *NOW)
    _subscribe(owner, ("ada@example.com", Preferences()))
    waits = owner("send", "--yes", "--json", *NOW)
    assert (waits.code, waits.json["states"]) == (4, {"planned": 1})
    assert "are planned for later" in waits.err
    owner.site.feed("/one.xml", [owner.site.item(n) for n in range(21, 29)])
    owner("fetch")
    next_day = ("--now", (DAY + dt.timedelta(days=1)).isoformat())
    after = owner("send", "--yes", "--json", *next_day)
    assert after.json["issue"] == 2 and "Issue 1 is late and not finished" in after.err
    named = owner("send", "1", "--yes", "--json", *next_day)
    assert named.json["states"] == {"planned": 1} and "`newsletter send 1 --late` sends them" in named.err
    assert owner("send", "1", "--late", "--yes", "--json", *next_day).json["states"] == {"accepted": 1}


def test_readers_get_it_at_their_own_hour(owner: Owner) -> None:
    owner.configure("/one.xml", extra="[selection]\nmax_per_source = 5\n[delivery]\nlocal_hour = 9")
    owner("build", *NOW)
    _subscribe(
        owner,
        ("ada@example.com", Preferences(time_zone="Europe/Berlin")),
        ("bob@example.com", Preferences(time_zone="America/New_York")),
    )
    assert owner("send", "--yes", "--json", *NOW).json["states"] == {"planned": 1, "accepted": 1}
    noon = ("--now", (DAY + dt.timedelta(hours=6)).isoformat())
    assert owner("send", "--yes", "--json", *noon).json["states"] == {"accepted": 2}


def _signing_key(file: Path) -> bytes:
    """Make an RSA key; returns the DNS record of its public half."""
    key = rsa.generate_private_key(65537, 2048)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    shown = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + b"".join(shown.splitlines()[1:-1])


@pytest.mark.slow
@pytest.mark.skipif(bool(postfix.why_not()), reason=postfix.why_not() or "Postfix is here")
def test_a_real_postfix_takes_an_issue_over_tls_with_a_login_and_signed(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = _signing_key(owner.folder / "dkim.pem")
    readers = [f"reader{number}@example.com" for number in range(500)]
    monkeypatch.setenv("NEWSLETTER_SMTP_PASSWORD", postfix.PASSWORD)
    with postfix.running() as server:
        owner.configure(
            "/one.xml",
            extra=f"""
[delivery]
provider = "smtp"
from_address = "digest@digest.test"
postal_address = "1 Street, Town"
[web]
base_url = "http://localhost:8000"
[smtp]
host = "localhost"
port = {server.port}
username = "{postfix.NAME}"
ca_file = "{server.trusted}"
return_path = "bounces+{{key}}@digest.test"
dkim_selector = "s1"
dkim_key_file = "dkim.pem"
[selection]
max_per_source = 5
""",
        )
        assert owner("build", *NOW).code == 0
        _subscribe(owner, *((address, Preferences()) for address in readers))
        run = owner("send", "--yes", "--json", *NOW)
        assert run.code == 0, run.err
        assert run.json["states"] == {"accepted": 500}
        mails = server.wait_for(500)
    parsed = [email.message_from_bytes(mail, policy=email.policy.SMTP) for mail in mails]
    assert sorted(mail["Delivered-To"] for mail in parsed) == sorted(readers)
    assert {mail["To"] == mail["Delivered-To"] for mail in parsed} == {True}
    assert {mail["Return-Path"] for mail in parsed} == {f"<bounces+1-{n}@digest.test>" for n in range(1, 501)}
    assert not [part.defects for mail in parsed for part in mail.walk() if part.defects]
    assert "with ESMTPSA" in parsed[0]["Received"]
    for mail in mails[::50]:
        assert dkim.verify(mail, dnsfunc=lambda name, timeout=5: record)
        for header in (b"List-Unsubscribe: <", b"List-Unsubscribe-Post: ", b"List-Id: "):
            tampered = mail.replace(b"\n" + header, b"\n" + header + b"x")
            assert tampered != mail and not dkim.verify(tampered, dnsfunc=lambda name, timeout=5: record)


def test_send_on_a_cancelled_issue_settles_what_a_dead_process_held(owner: Owner) -> None:
    _subscribe(owner, ("ada@example.com", Preferences()))
    assert owner("send", "--yes", *NOW).code == 0
    with closing(sqlite3.connect(owner.database)) as database, database:
        database.execute(
            "UPDATE delivery SET state = 'handing', claimed_by = 'dead', claimed_at = '2026-01-01 00:00:00'"
        )
        database.execute("UPDATE sending SET state = 'cancelled'")
    run = owner("send", "1", "--yes", *NOW)
    assert run.code == 5 and "cancelled" in run.err
    ways = owner("status", "--json", *NOW).json["issues"][0]["ways"]
    assert [way["what"] for way in ways] == ["1 in doubt"]


def test_an_issue_of_mostly_excerpts_needs_the_owners_word_when_a_model_is_configured(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeClaude(otherwise=refusal) as claude:
        owner.use_claude(claude, monkeypatch)
        stopped = owner("send", "--yes", *NOW)
        assert stopped.code == 5
        assert "5 of 5 pieces are excerpts, though a model is configured to write" in stopped.err
        assert "`newsletter issues rebuild 1` asks again where no answer came" in stopped.err
        assert owner("issues", "list", "--json").json["issues"][0]["state"] == "draft"
        assert owner("send", "--yes", "--allow-excerpts", *NOW).code == 0
    assert owner("issues", "list", "--json").json["issues"][0]["state"] == "frozen"


@pytest.mark.slow
def test_no_reader_no_key_and_no_token_is_in_a_prompt_or_a_log_at_any_level(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    link_key = "s3cret-" * 6
    monkeypatch.setenv("NEWSLETTER_SECRET_KEY", link_key)
    script = (overloaded, good, error(500, "api_error", f"your key {KEY} and rita.reader@example.com"))
    with caplog.at_level(logging.NOTSET), FakeClaude(script) as claude:
        logging.getLogger().setLevel(logging.NOTSET)
        owner.use_claude(claude, monkeypatch)
        owner("fetch", *NOW)
        _subscribe(owner, ("rita.reader@example.com", Preferences()))
        run = owner("send", "--yes", "--debug", "--verbose", *NOW)
        assert run.code == 0, run.err
        asked = "".join(str(request.body) for request in claude.requests)
    mails = b"".join(path.read_bytes() for path in (owner.folder / "data" / "outbox").rglob("*.eml"))
    tokens = re.findall(rb"/[up]/([\w.=-]{20,})", re.sub(rb"=\r\n", b"", mails))
    assert tokens and b"rita.reader@example.com" in mails
    said = caplog.text + run.out + run.err
    for secret in (KEY, link_key, "rita.reader", *(token.decode() for token in tokens)):
        assert secret not in asked
        assert secret not in said
    assert owner.database.exists() and KEY.encode() not in owner.database.read_bytes()


@pytest.mark.slow
def test_a_kill_in_the_middle_of_ten_pieces_costs_at_most_the_calls_in_flight(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.site.feed("/one.xml", [owner.site.item(n) for n in range(1, 15)])
    owner.configure("/one.xml", extra="[selection]\nmin_pieces = 10\nmax_pieces = 10\nmax_per_source = 20")
    with FakeClaude(otherwise=_slowly) as claude:
        owner.use_claude(claude, monkeypatch, "concurrency = 2")
        command = [sys.executable, "-m", "newsletter", "build", "--config", str(owner.folder), *NOW]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as building:
            while len(claude.written) < 6 and building.poll() is None:
                time.sleep(0.02)
            building.kill()
        before = len(claude.requests)
        assert 6 <= len(claude.written) < 10
        assert owner("build", *NOW).code == 0
        assert len(claude.written) <= 10 + 2
        assert len(claude.requests) - before <= 10 - 6 + 2
        whole = len(claude.requests)
        assert owner("build", *NOW).code == 0
        assert len(claude.requests) == whole
    with closing(sqlite3.connect(owner.database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def _slowly(handler: Handler, body: dict[str, Any]) -> None:
    time.sleep(0.4)
    good(handler, body)


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
