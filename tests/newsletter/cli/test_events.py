"""`newsletter events`: from a mailbox or a file to the ledger, and what is known."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from sqlmodel import select

import subscribers
from newsletter.cli._exits import Exit
from newsletter.config import Config
from newsletter.pipeline import sender
from newsletter.store import open_store
from newsletter.store.tables import DeliveryRow
from subscribers import Purpose, Tokens
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.events.imap import PASSWORD, ImapServer
from tests.newsletter.events.mails import ORIGINAL, bounce, complaint, mail
from tests.newsletter.fake_sendgrid import KEY, FakeSendGrid, raw, reset, status
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())
MAILBOX = "[delivery]\nmailbox = 'leave+us@example.com'\n[selection]\nmax_per_source = 5"


@pytest.fixture
def sent(owner: Owner) -> Owner:
    """An owner whose issue 1 went to three readers."""
    owner.configure("/one.xml", extra=MAILBOX)
    for reader in (1, 2, 3):
        assert owner("subscribers", "add", f"reader{reader}@example.com", "--consent", "asked").code == Exit.DONE
    assert owner("send", "--yes", *NOW).code == Exit.DONE
    return owner


def _links(owner: Owner) -> Tokens:
    return Tokens((owner.folder / "data" / "links.key").read_text().split())


def _returned(owner: Owner, reader: int) -> tuple[str, ...]:
    link = _links(owner).sign(Purpose.UNSUBSCRIBE, reader, 1)
    return (*ORIGINAL, f"List-Unsubscribe: <https://newsletter.example.com/u/{link}>")


def _states(owner: Owner) -> dict[int, str]:
    store = open_store(f"sqlite:///{owner.database}")
    with store.read() as session:
        found = {row.subscriber_id: row.state for row in session.exec(select(DeliveryRow))}
    store.close()
    return found


def _barred(owner: Owner) -> list[str]:
    store = open_store(f"sqlite:///{owner.database}")
    with store.read() as session:
        found = [subscribers.suppressions(session, f"reader{reader}@example.com") for reader in (1, 2, 3)]
    store.close()
    return [", ".join(kinds) for kinds in found]


def _mails(owner: Owner) -> dict[int, bytes]:
    """A bounce, a complaint, an unsubscribe mail made from what a mail of ours offers, and a letter."""
    (own,) = (path for path in (owner.folder / "data" / "outbox").glob("1-3.eml"))
    offered = own.read_text().replace("\r\n ", " ").partition("<mailto:")[2].partition(">")[0]
    address, _, subject = offered.partition("?subject=")
    assert address == "leave+us@example.com"
    return {
        1: bounce(original=_returned(owner, 1)),
        2: complaint(original=_returned(owner, 2)),
        3: mail("From: reader3@example.com", f"To: {address}", f"Subject: {subject}"),
        4: mail("From: someone@example.com", "Subject: Thank you"),
    }


@pytest.mark.slow
def test_a_mailbox_on_a_server_is_read_once(sent: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEWSLETTER_MAILBOX_PASSWORD", PASSWORD)
    with ImapServer(_mails(sent)) as server:
        first = sent("events", "read", server.url, "--json")
        assert first.json == {
            "mails": 4,
            "automatic": 0,
            "other": 1,
            "new": {"hard_bounce": 1, "complained": 1, "unsubscribed": 1},
            "unknown": 0,
            "known": 0,
        }
        assert sorted(server.flags) == [1, 2, 3] and len(server.mails) == 4
        server.flags.clear()
        assert sent("events", "read", server.url, "--json").json["known"] == 3
    assert _barred(sent) == ["hard_bounce", "complaint", "unsubscribed"]
    assert _states(sent) == {1: "bounced", 2: "complained", 3: "accepted"}
    listed = sent("issues", "list").out
    assert "1 bounced" in listed and "1 complained" in listed


def test_a_maildir_is_read_without_a_password(sent: Owner, tmp_path: Path) -> None:
    folder = tmp_path / "Maildir"
    for part in ("cur", "new", "tmp"):
        (folder / part).mkdir(parents=True)
    for number, data in _mails(sent).items():
        (folder / "new" / f"{number}.host").write_bytes(data)
    run = sent("events", "read", str(folder))
    assert run.code == Exit.DONE and "1 hard bounce, 1 complained, 1 unsubscribed" in run.out
    assert len(list(folder.rglob("*.host*"))) == 4
    assert sent("events", "read", str(folder), "--json").json["mails"] == 1


def test_late_events_come_from_a_file(sent: Owner, tmp_path: Path) -> None:
    list_id = sender(Config()).list_id
    items = [
        {"event": "spamreport", "key": "1-2", "list": list_id, "sg_event_id": "a", "timestamp": 1},
        {"event": "delivered", "key": "8-2", "list": list_id, "sg_event_id": "b", "timestamp": 1},
        {"event": "delivered", "key": "1-1", "list": "other.example.com", "sg_event_id": "c"},
    ]
    file = tmp_path / "late.json"
    file.write_text("\n".join(map(json.dumps, items)))
    new = {"new": {"complained": 1, "delivered": 1}, "unknown": 1, "known": 0}
    assert sent("events", "import", str(file), "--json").json == new
    assert "2 from before" in sent("events", "import", str(file)).out
    listed = sent("events", "list")
    assert "1 delivered, 1 complained, 1 unknown" in listed.out and "(of no delivery of ours)" in listed.out
    assert [row["key"] for row in sent("events", "list", "--limit", "1", "--json").json["newest"]] == ["8-2"]


def test_what_cannot_be_read_is_said(owner: Owner, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("no JSON")
    for words in (("import", str(file)), ("import", str(tmp_path / "none")), ("read", str(tmp_path / "none"))):
        run = owner("events", *words)
        assert run.code in (Exit.USAGE, Exit.CONFIGURATION) and str(words[1]) in run.err


@pytest.fixture
def by_sendgrid(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> Owner:
    """An owner with three readers and a draft, whose mail goes by SendGrid."""
    owner.configure("/one.xml", extra=SENDGRID)
    monkeypatch.setenv("SENDGRID_API_KEY", KEY)
    for reader in (1, 2, 3):
        assert owner("subscribers", "add", f"reader{reader}@example.com", "--consent", "asked").code == Exit.DONE
    assert owner("build", *NOW).code == Exit.DONE
    return owner


SENDGRID = """
[delivery]
provider = "sendgrid"
postal_address = "1 Street"
from_address = "digest@digest.test"
[web]
base_url = "https://digest.test"
[selection]
max_per_source = 5"""


@pytest.mark.parametrize(
    ("service", "states"),
    [
        (FakeSendGrid(), {"accepted": 3}),
        (FakeSendGrid(refused=frozenset({"reader2@example.com"})), {"accepted": 2, "failed": 1}),
        (FakeSendGrid(cursed=frozenset({"reader2@example.com"})), {"accepted": 2, "failed": 1}),
        (FakeSendGrid(most_rows=1), {"accepted": 3}),
        (FakeSendGrid([status(429, Retry_After="600")]), {"planned": 3}),
        (FakeSendGrid([status(500)] * 3), {"planned": 3}),
        (FakeSendGrid([status(401)]), {"planned": 3}),
        (FakeSendGrid([reset(takes=False)]), {"in_doubt": 3}),
        (FakeSendGrid([reset(takes=True)]), {"in_doubt": 3}),
        (FakeSendGrid([raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<p>x<")]), {"in_doubt": 3}),
        (FakeSendGrid([raw(b"HTTP/1.1 20", takes=True)]), {"in_doubt": 3}),
    ],
    ids=["202", "named", "unnamed", "413", "429", "500", "401", "reset", "taken, reset", "200 HTML", "half a line"],
)
def test_each_answer_of_sendgrid_ends_in_its_state(
    by_sendgrid: Owner, service: FakeSendGrid, states: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    with service:
        monkeypatch.setenv("SENDGRID_HOST", service.host)
        by_sendgrid("send", "--yes", *NOW)
        assert Counter(_states(by_sendgrid).values()) == states
        assert set(service.accepted.values()) <= {1}


@pytest.mark.slow
def test_events_end_the_doubt_of_a_lost_answer_and_nobody_is_sent_twice(
    by_sendgrid: Owner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FakeSendGrid([reset(takes=True)]) as service:
        monkeypatch.setenv("SENDGRID_HOST", service.host)
        by_sendgrid("send", "--yes", *NOW)
        assert _states(by_sendgrid) == dict.fromkeys((1, 2, 3), "in_doubt")
        names = {"1-1": "processed", "1-2": "delivered", "1-3": "bounce"}
        given = [row["custom_args"] for row in service.payloads[0]["personalizations"]]
        file = tmp_path / "events.json"
        file.write_text(json.dumps([{"event": names[one["key"]], "sg_event_id": one["key"], **one} for one in given]))
        assert by_sendgrid("events", "import", str(file)).code == Exit.DONE
        assert _states(by_sendgrid) == {1: "accepted", 2: "delivered", 3: "bounced"}
        by_sendgrid("send", "1", "--yes", *NOW)
        assert service.accepted == Counter({"1-1": 1, "1-2": 1, "1-3": 1})
