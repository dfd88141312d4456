"""Mails that come back: what each says, of whom, and that none of them can do harm."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import Session

import subscribers
from newsletter import events
from newsletter.events import Kind
from newsletter.events.mails import LedgerClues, Reading, Sort, read
from newsletter.messages import Sender, message_id
from subscribers import Purpose, Tokens
from tests.newsletter.events.conftest import LATER, Ledger
from tests.newsletter.events.mails import CRLF, ORIGINAL, bounce, complaint, mail, report
from tests.newsletter.makers import DAY

TOKENS = Tokens(("k" * 43,))
SENDER = Sender("Digest", "digest@example.com", "Digest", "digest.example.com")
LINK = TOKENS.sign(Purpose.UNSUBSCRIBE, 1, 1)
SIGNED = (*ORIGINAL, f"List-Unsubscribe: <https://n.example.com/u/{LINK}>, <mailto:m@example.com?subject=x>")
FORGED = (*ORIGINAL, f"List-Unsubscribe: <https://n.example.com/u/{LINK[:-3]}abc>")
NAMED = (*ORIGINAL[:3], f"Message-ID: {message_id('1-1', SENDER)}")


@pytest.fixture
def session(ledger: Ledger) -> Iterator[Session]:
    """A look at the ledger."""
    with ledger.store.read() as session:
        yield session


def _read(session: Session, data: bytes) -> Reading:
    return read(data, LedgerClues(session, TOKENS, SENDER, "Bounces+{key}@example.com"), LATER)


def _only(session: Session, data: bytes) -> tuple[str, Kind]:
    reading = _read(session, data)
    assert reading.sort is Sort.REPORT
    (event,) = reading.events
    return event.key, event.kind


@pytest.mark.parametrize(
    ("status", "said", "kind"),
    [
        ("5.1.1", "smtp; 550 no such user", Kind.HARD_BOUNCE),
        ("5.1.10", "smtp; 556 null MX", Kind.HARD_BOUNCE),
        ("5.2.1", "smtp; 550 mailbox disabled", Kind.HARD_BOUNCE),
        ("5.0.0", "smtp; 550 5.1.1 user unknown", Kind.HARD_BOUNCE),
        ("5.0.0", "smtp; 550 No such user here", Kind.HARD_BOUNCE),
        ("5.2.2", "smtp; 552 mailbox full", Kind.SOFT_BOUNCE),
        ("5.7.1", "smtp; 550 looks like spam", Kind.SOFT_BOUNCE),
        ("4.4.1", "smtp; connection timed out", Kind.SOFT_BOUNCE),
        ("4.1.1", "smtp; 450 user unknown for now", Kind.SOFT_BOUNCE),
        ("nonsense", "", Kind.SOFT_BOUNCE),
    ],
)
def test_a_failure_is_hard_when_there_is_no_such_mailbox(session: Session, status: str, said: str, kind: Kind) -> None:
    assert _only(session, bounce(status=status, said=said, original=SIGNED)) == ("1-1", kind)


@pytest.mark.parametrize(
    ("action", "kind"), [("delayed", Kind.DEFERRED), ("delivered", Kind.DELIVERED), ("Relayed", Kind.ACCEPTED)]
)
def test_other_reports_say_how_far_it_came(session: Session, action: str, kind: Kind) -> None:
    assert _only(session, bounce(action=action, original=SIGNED)) == ("1-1", kind)


@pytest.mark.parametrize(
    "data",
    [
        bounce(original=SIGNED),
        bounce(original=SIGNED, whole=True),
        bounce(original=NAMED),
        bounce(original=NAMED, whole=True),
        bounce(to="bounces+1-1@example.com"),
        bounce(to="BOUNCES+1-1@EXAMPLE.COM", original=()),
        bounce(original=("Return-Path: <bounces+1-1@example.com>",)),
    ],
    ids=["link", "link, whole", "Message-ID", "Message-ID, whole", "address", "address alone", "Return-Path"],
)
def test_whose_it_is_stands_in_many_places(session: Session, data: bytes) -> None:
    assert _only(session, data) == ("1-1", Kind.HARD_BOUNCE)


def test_a_report_of_nobody_we_know_has_no_key(session: Session) -> None:
    assert _only(session, bounce(original=FORGED)) == ("", Kind.HARD_BOUNCE)
    assert _only(session, bounce(to="other+1-1@example.com", original=())) == ("", Kind.HARD_BOUNCE)


@pytest.mark.parametrize("kind", ["abuse", "fraud", "virus", "other", "Abuse "])
def test_a_complaint_is_one_whatever_its_type(session: Session, kind: str) -> None:
    assert _only(session, complaint(kind=kind, original=SIGNED)) == ("1-1", Kind.COMPLAINED)


def test_a_complaint_names_the_reader_by_the_envelope_too(session: Session) -> None:
    by_sender = complaint(more=("Original-Mail-From: <bounces+1-1@example.com>",))
    by_recipient = complaint(original=NAMED[2:], more=("Original-Rcpt-To: <reader1@example.com>",))
    assert _only(session, by_sender) == _only(session, by_recipient) == ("1-1", Kind.COMPLAINED)


def test_feedback_can_be_other_than_a_complaint(session: Session) -> None:
    assert _only(session, complaint(kind="opt-out", original=SIGNED)) == ("1-1", Kind.UNSUBSCRIBED)
    for kind in ("not-spam", "auth-failure", ""):
        assert _read(session, complaint(kind=kind, original=SIGNED)) == Reading(Sort.AUTOMATIC)


@pytest.mark.parametrize(
    "subject",
    [
        f"unsubscribe-{LINK}",
        f"Re: Unsubscribe-{LINK}",
        f"=?utf-8?q?unsubscribe-{LINK}?=",
        "unsubscribe",
        "Re: UNSUBSCRIBE!",
    ],
)
def test_who_wants_out_gets_out(session: Session, subject: str) -> None:
    data = mail("From: Ada <Reader1@Example.com>", f"Subject: {subject}", "Message-ID: <1@x.example>")
    (event,) = _read(session, data).events
    assert (event.key, event.kind, event.subscriber) == ("1-1", Kind.UNSUBSCRIBED, 1)


@pytest.mark.parametrize(
    "lines",
    [
        ("From: reader1@example.com", f"Subject: unsubscribe-{LINK[:-3]}abc"),
        ("From: stranger@example.com", "Subject: unsubscribe"),
        ("From: reader1@example.com", "Subject: How do I unsubscribe?"),
        ("From: not an address", "Subject: unsubscribe"),
        ("Subject: unsubscribe",),
        ("From: reader1@example.com", "Subject: =?x?q?unsubscribe?="),
    ],
)
def test_who_does_not_say_so_stays(session: Session, lines: tuple[str, ...]) -> None:
    assert _read(session, mail(*lines)) == Reading(Sort.OTHER)


@pytest.mark.parametrize(
    "line",
    ["Auto-Submitted: auto-replied", "Auto-Submitted: auto-generated; x=y", "Precedence: bulk", "X-Autoreply: yes"],
)
def test_automatic_replies_report_nothing(session: Session, line: str) -> None:
    for subject in ("Out of office", "unsubscribe"):
        data = mail("From: reader1@example.com", f"Subject: {subject}", line)
        assert _read(session, data) == Reading(Sort.AUTOMATIC)


def test_a_persons_mail_is_for_a_person(session: Session) -> None:
    lines = ("From: reader1@example.com", "Subject: Thank you", "Auto-Submitted: no")
    assert _read(session, mail(*lines)) == Reading(Sort.OTHER)


def test_when_it_happened_is_the_mails_date_or_now(session: Session) -> None:
    (event,) = _read(session, bounce(original=SIGNED)).events
    assert event.at == dt.datetime(2026, 5, 29, 7, tzinfo=dt.UTC)
    for date in (b"Date: soon", b"Date: Fri, 29 May 9999 99:99:99 +9999", b"Date:"):
        broken = bounce(original=SIGNED).replace(b"Date: Fri, 29 May 2026 09:00:00 +0200", date)
        assert [event.at for event in _read(session, broken).events] == [LATER]


def test_the_same_mail_reports_the_same_and_another_something_else(session: Session) -> None:
    first, again, other = (_read(session, bounce(original=SIGNED, ref=ref)).events[0].id for ref in ("1", "1", "2"))
    assert first == again != other


def test_a_mail_does_what_it_says_once_it_is_recorded(ledger: Ledger) -> None:
    wish = mail("From: x@example.com", f"Subject: unsubscribe-{TOKENS.sign(Purpose.UNSUBSCRIBE, 3, 77)}")
    second = (*ORIGINAL, f"List-Unsubscribe: <https://n.example.com/u/{TOKENS.sign(Purpose.UNSUBSCRIBE, 2, 1)}>")
    with ledger.store.write() as session:
        for data in (bounce(original=SIGNED), complaint(original=second), wish):
            events.record(session, _read(session, data).events, LATER)
    assert [ledger.barred(reader) for reader in (1, 2, 3)] == [{"hard_bounce"}, {"complaint"}, {"unsubscribed"}]
    assert [ledger.state(f"1-{reader}") for reader in (1, 2, 3)] == ["bounced", "complained", "accepted"]
    with ledger.store.read() as session:
        person = subscribers.get(session, 3)
        assert (person.state, person.state_reason) == ("unsubscribed", "mail")


def _nested(depth: int) -> bytes:
    lines = ["From: a@example.com", 'Content-Type: multipart/report; boundary="b0"', ""]
    for level in range(depth):
        lines += [f"--b{level}", f'Content-Type: multipart/report; boundary="b{level + 1}"', ""]
    return CRLF.join(lines).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 10_000,
        b"\xff\xfe" * 1000,
        b"Subject: " + b"a" * 900_000,
        b"Subject: =?utf-8?b?" + b"A" * 100_000,
        b"Subject: " + b"re: " * 100_000 + b"x",
        b"From: " + b"(" * 50_000,
        b"From: " + b'"' * 50_000 + b"\r\nSubject: unsubscribe",
        b"From: " + b"<" * 20_000 + b"\r\nSubject: unsubscribe",
        _nested(3000),
        b'Content-Type: multipart/report; boundary=""\r\n\r\n--\r\n',
        b"Content-Type: multipart/report\r\n\r\nno boundary",
        b"Content-Type: multipart/report; boundary*0*=x'y'z; boundary*1=w\r\n\r\nx",
        report("delivery-status", *[("message/delivery-status", f"Action: failed{CRLF}")] * 5000),
        report("delivery-status", ("message/delivery-status", f"{CRLF}{CRLF}".join(["Action: failed"] * 5000))),
        report("delivery-status", ("message/delivery-status; charset=no-such", "Action: failed\r\nStatus: 5.1.1")),
        report("delivery-status", ("message/delivery-status\r\nContent-Transfer-Encoding: base64", "%%%%")),
        report("delivery-status", ("message/rfc822\r\nContent-Transfer-Encoding: base64", "QUJD")),
        report("feedback-report", ("message/feedback-report", "Feedback-Type: abuse" * 9000)),
    ],
    ids=range(19),
)
def test_a_hostile_mail_is_read_or_passed_over_soon(session: Session, data: bytes) -> None:
    began = dt.datetime.now(dt.UTC)
    reading = _read(session, data[:1_000_000])
    assert len(reading.events) <= 3000
    assert (dt.datetime.now(dt.UTC) - began).total_seconds() < 10


_LINES = st.sampled_from(
    [*bounce(original=SIGNED).split(b"\r\n"), *complaint(original=NAMED).split(b"\r\n"), b"\xff\x00", b" folded", b"--"]
)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_LINES | st.binary(max_size=12), max_size=30))
def test_no_heap_of_lines_breaks_it(session: Session, lines: list[bytes]) -> None:
    assert all(event.at <= LATER or event.at > DAY for event in _read(session, b"\r\n".join(lines)).events)
