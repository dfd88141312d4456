"""`newsletter deliveries`: what is in doubt is seen, resolved, and a restored database is trusted on purpose."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest

import subscribers
from newsletter.cli._workshop import Workshop
from newsletter.masking import masked
from newsletter.providers import Accepted, InDoubt, Outcome, Provider, Refused, TryLater
from newsletter.store import open_store
from newsletter.values import Message
from tests.newsletter.cli.conftest import Owner
from tests.newsletter.makers import DAY

NOW = ("--now", DAY.isoformat())


@dataclass
class Moody:
    """A provider that answers by the first word of an address, and keeps what it took."""

    taken: list[Message] = field(default_factory=list)
    name: str = "moody"
    batch: int = 3
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        for message in messages:
            match message.to.partition("@")[0].rstrip("0123456789"):
                case "doubt":
                    yield InDoubt(message.key, "the connection was reset")
                case "never":
                    yield Refused(message.key, "no such mailbox")
                case "later":
                    yield TryLater(message.key, "450 come back")
                case _:
                    self.taken.append(message)
                    yield Accepted(message.key)


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Moody:
    """What every command of the test hands over to."""
    made = Moody()

    def provider(workshop: Workshop) -> Provider:
        return made

    monkeypatch.setattr(Workshop, "provider", provider)
    return made


def subscribe(owner: Owner, *names: str) -> None:
    """Readers of that name at example.com."""
    store = open_store(f"sqlite:///{owner.database}")
    with store.write() as session:
        for name in names:
            subscribers.add(session, f"{name}@example.com", now=DAY, how="test", consent_text="yes", active=True)
    store.close()


def _sent(owner: Owner, *names: str) -> None:
    owner("build", *NOW)
    subscribe(owner, *names)
    owner("send", "--yes", *NOW)


def test_what_is_in_doubt_is_listed_with_masked_addresses(owner: Owner, moody: Moody) -> None:
    _sent(owner, "ada", "doubt1", "doubt2", "never1")
    run = owner("deliveries", "list")
    assert run.code == 0
    assert run.out.count("d\N{HORIZONTAL ELLIPSIS}@example.com") == 2
    assert "doubt1@" not in run.out and "the connection was reset" in run.out and "1-2" in run.out
    assert "doubt1@example.com" in owner("deliveries", "list", "1", "--addresses").out
    failed = owner("deliveries", "list", "1", "--state", "failed", "--json").json["deliveries"]
    assert [(one["key"], one["reason"]) for one in failed] == [("1-4", "no such mailbox")]
    assert owner("deliveries", "list", "7").out == "No delivery is in doubt.\n"


@pytest.mark.parametrize(
    ("verdict", "states"),
    [
        ("sent", {"accepted": 3, "failed": 1}),
        ("failed", {"accepted": 1, "failed": 3}),
        ("again", {"planned": 2, "accepted": 1, "failed": 1}),
    ],
)
def test_the_doubts_of_an_issue_are_resolved(owner: Owner, moody: Moody, verdict: str, states: dict[str, int]) -> None:
    _sent(owner, "ada", "doubt1", "doubt2", "never1")
    run = owner("deliveries", "resolve", "1", "--as", verdict, "--json")
    assert (run.code, run.json["resolved"], run.json["states"]) == (0, 2, states)


def test_one_delivery_is_resolved_by_its_key_and_goes_out_again(owner: Owner, moody: Moody) -> None:
    _sent(owner, "ada", "doubt1", "never1")
    run = owner("deliveries", "resolve", "--key", "1-3", "--state", "failed", "--as", "again", *NOW)
    assert run.code == 0 and "`newsletter send 1` hands it over" in run.out
    assert owner("send", "1", "--yes", "--json", *NOW).json["states"] == {"accepted": 1, "failed": 1, "in_doubt": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--as", "sent"), "say which"),
        (("1", "--key", "1-2", "--as", "sent"), "say which"),
        (("--key", "one", "--as", "sent"), "no key, such as 3-17"),
        (("1", "--as", "sent"), "nothing of that is in doubt"),
        (("--key", "9-9", "--as", "failed"), "nothing of that is in doubt"),
    ],
)
def test_what_cannot_be_resolved_is_said(owner: Owner, moody: Moody, words: tuple[str, ...], message: str) -> None:
    _sent(owner, "ada")
    run = owner("deliveries", "resolve", *words)
    assert run.code == 2 and message in run.err


def test_a_restored_database_sends_nothing_until_it_is_trusted_and_resumed(owner: Owner, moody: Moody) -> None:
    _sent(owner, "later1", "ada")
    shutil.copy(owner.database, owner.folder / "old")
    assert owner("issues", "resume", "1").code == 0
    later = ("--now", "2026-05-29T08:00:00+00:00")
    assert owner("send", "1", "--yes", *later).code == 4
    for path in owner.database.parent.glob("newsletter.sqlite3-*"):
        path.unlink()
    shutil.copy(owner.folder / "old", owner.database)
    stopped = owner("send", "1", "--yes", *later)
    assert stopped.code == 5 and stopped.err.count("\n") == 1
    assert "older copy" in stopped.err and "`newsletter deliveries trust`" in stopped.err
    assert "older copy" in owner("status").out
    trusted = owner("deliveries", "trust", "--json")
    assert (trusted.code, trusted.json["paused"]) == (0, [1]) and "older copy" in trusted.json["problem"]
    paused = owner("send", "1", "--yes", *later)
    assert paused.code == 5 and "`newsletter issues resume 1`" in paused.err
    assert [message.to for message in moody.taken] == ["ada@example.com"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("ada@example.com", "a\N{HORIZONTAL ELLIPSIS}@example.com"),
        ("", ""),
        ("a@b@example.com", "a\N{HORIZONTAL ELLIPSIS}@example.com"),
    ],
)
def test_a_masked_address_keeps_a_letter_and_the_domain(address: str, shown: str) -> None:
    assert masked(address) == shown
