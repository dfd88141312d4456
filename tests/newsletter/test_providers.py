"""What every provider promises. It runs over all files of the folder: a new provider brings its loopback peer
here, and says which of the situations that peer cannot be in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import pytest

from newsletter import providers
from newsletter.providers import (
    Accepted,
    InDoubt,
    NotAllowed,
    Outcome,
    Provider,
    Refused,
    TryLater,
    Unreachable,
)
from newsletter.providers.files import Files
from newsletter.providers.sendgrid import SendGrid
from newsletter.providers.smtp import Server, Smtp
from newsletter.values import Message
from tests.newsletter import fake_sendgrid
from tests.newsletter.fake_sendgrid import FakeSendGrid
from tests.newsletter.mailserver import TAKE_AND_DROP, MailServer


class Case(Enum):
    """A situation that a provider's peer can be in. Its first message is for r1, and so on."""

    ACCEPTS = "takes everything"
    REFUSES_ONE = "refuses r2 for good"
    REFUSES_ALL = "refuses everyone for good"
    LATER = "takes r2 not now"
    DOUBT = "takes r2 and does not say so"
    NO_LOGIN = "does not accept us"
    GONE = "cannot be reached"


@dataclass(frozen=True, slots=True)
class Peer:
    """A provider against a peer on this machine. ``taken`` are the readers whose messages the peer has, sorted."""

    provider: Provider
    taken: Callable[[], list[str]]


@contextmanager
def _files(folder: Path, case: Case) -> Iterator[Peer]:
    outbox = folder / "outbox"
    if case is Case.NO_LOGIN:
        outbox.write_text("a file is in the way")
    yield Peer(Files(outbox), lambda: sorted(f"r{path.stem[2:]}" for path in outbox.glob("*.eml")))


@contextmanager
def _smtp(folder: Path, case: Case) -> Iterator[Peer]:
    refusal = "550 5.1.1 no such mailbox"
    answers: dict[Case, dict[str, str | list[str]]] = {
        Case.REFUSES_ONE: {"RCPT r2@example.com": refusal},
        Case.REFUSES_ALL: {"RCPT": refusal},
        Case.LATER: {"RCPT r2@example.com": "450 4.2.0 greylisted"},
        Case.DOUBT: {"END r2@example.com": TAKE_AND_DROP},
        Case.NO_LOGIN: {"AUTH": "535 5.7.8 no"},
    }
    with MailServer(answers.get(case), login=("ada", "secret")) as server:
        if case is Case.GONE:
            server.close()
        at = Server("127.0.0.1", server.port, "none", "ada", "secret", timeout_seconds=5)
        yield Peer(Smtp(at), lambda: [address.partition("@")[0] for address in server.recipients])


@contextmanager
def _sendgrid(folder: Path, case: Case) -> Iterator[Peer]:
    refused = {Case.REFUSES_ONE: {"r2@example.com"}, Case.REFUSES_ALL: {f"r{n}@example.com" for n in (1, 2, 3)}}
    second = {Case.LATER: fake_sendgrid.status(429), Case.DOUBT: fake_sendgrid.reset(takes=True)}
    script = [fake_sendgrid.answer, second[case]] if case in second else []
    with FakeSendGrid(script, frozenset(refused.get(case, set()))) as service:
        key = "SG.another-key" if case is Case.NO_LOGIN else fake_sendgrid.KEY
        provider = SendGrid(key, service.host, timeout_seconds=5)
        if case is Case.GONE:
            service.close()
        yield Peer(provider, lambda: sorted(mail.to.partition("@")[0] for mail in service.mails))


Make = Callable[[Path, Case], AbstractContextManager[Peer]]
MAKERS: dict[str, Make] = {"files": _files, "sendgrid": _sendgrid, "smtp": _smtp}
"""How to make each provider and its peer."""

CANNOT: dict[str, set[Case]] = {
    # A folder takes a message or does not: it knows no readers.
    "files": {Case.REFUSES_ONE, Case.REFUSES_ALL, Case.LATER, Case.DOUBT, Case.GONE},
}
"""Situations that a provider's peer cannot be in."""


def _message(number: int) -> Message:
    headers = (
        ("From", "digest@example.com"),
        ("To", f"r{number}@example.com"),
        ("Subject", f"Issue {number}"),
    )
    return Message(f"1-{number}", f"r{number}@example.com", headers, f"Text {number}\n", f"<p>HTML {number}</p>")


MESSAGES = [_message(1), _message(2), _message(3)]


def _those_in(case: Case) -> pytest.MarkDecorator:
    able = [name for name in providers.names() if case not in CANNOT.get(name, set())]
    return pytest.mark.parametrize("name", able)


def _outcomes(provider: Provider, messages: Sequence[Message] = MESSAGES) -> dict[str, Outcome]:
    outcomes = list(provider.hand_over(messages))
    assert len({outcome.key for outcome in outcomes}) == len(outcomes)
    return {outcome.key: outcome for outcome in outcomes}


def _kinds(outcomes: dict[str, Outcome]) -> list[type[Outcome]]:
    return [type(outcomes[message.key]) for message in MESSAGES]


def test_every_provider_is_held_to_this_contract() -> None:
    assert set(MAKERS) == set(providers.names())


@_those_in(Case.ACCEPTS)
def test_it_says_its_name_and_how_much_a_call_takes(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.ACCEPTS) as peer:
        assert peer.provider.name == name
        assert peer.provider.batch >= 1


@_those_in(Case.ACCEPTS)
def test_it_accepts_each_message_under_its_own_key(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.ACCEPTS) as peer:
        assert _kinds(_outcomes(peer.provider)) == [Accepted] * 3
        assert peer.taken() == ["r1", "r2", "r3"]


@_those_in(Case.ACCEPTS)
def test_no_message_means_no_outcome(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.ACCEPTS) as peer:
        assert _outcomes(peer.provider, []) == {}


@_those_in(Case.ACCEPTS)
def test_it_asks_for_no_more_than_it_has_places_for(name: str, tmp_path: Path) -> None:
    left, without = [_message(number) for number in range(1, 31)], set[str]()
    with MAKERS[name](tmp_path, Case.ACCEPTS) as peer:

        def more(limit: int) -> list[Message]:
            assert 1 <= limit <= peer.provider.batch - len(without)
            given = [left.pop() for _ in range(min(limit, len(left)))]
            without.update(message.key for message in given)
            return given

        for outcome in providers.stream(peer.provider, more):
            without.remove(outcome.key)
        assert len(peer.taken()) == 30
    assert not left and not without


@_those_in(Case.REFUSES_ONE)
def test_a_refused_reader_costs_that_reader_alone(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.REFUSES_ONE) as peer:
        outcomes = _outcomes(peer.provider)
        assert _kinds(outcomes) == [Accepted, Refused, Accepted]
        assert getattr(outcomes["1-2"], "why", "")
        assert peer.taken() == ["r1", "r3"]


@_those_in(Case.REFUSES_ALL)
def test_all_may_be_refused(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.REFUSES_ALL) as peer:
        assert _kinds(_outcomes(peer.provider)) == [Refused] * 3
        assert peer.taken() == []


@_those_in(Case.LATER)
def test_who_is_to_be_tried_later_was_not_taken(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.LATER) as peer:
        assert _outcomes(peer.provider)["1-2"].__class__ is TryLater
        assert "r2" not in peer.taken()


@_those_in(Case.DOUBT)
def test_what_left_and_was_not_answered_is_in_doubt_and_not_sent_again(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.DOUBT) as peer:
        assert _outcomes(peer.provider)["1-2"].__class__ is InDoubt
        assert peer.taken().count("r2") == 1


@_those_in(Case.NO_LOGIN)
def test_who_is_not_accepted_at_all_stops_and_hands_nothing_over(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.NO_LOGIN) as peer:
        with pytest.raises(NotAllowed) as caught:
            list(peer.provider.hand_over(MESSAGES))
        assert "; " in str(caught.value), "it says no mend"
        assert peer.taken() == []


@_those_in(Case.GONE)
def test_a_peer_that_cannot_be_reached_leaves_nobody_in_doubt(name: str, tmp_path: Path) -> None:
    with MAKERS[name](tmp_path, Case.GONE) as peer:
        try:
            outcomes = _outcomes(peer.provider)
        except Unreachable:
            return
    assert _kinds(outcomes) == [TryLater] * 3


def test_a_call_that_says_nothing_of_a_message_leaves_it_in_doubt() -> None:
    @dataclass
    class Silent:
        name: str = "silent"
        batch: int = 2
        repeats_safely: bool = False

        def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
            yield Accepted(messages[0].key)

    calls = iter([MESSAGES[:2], MESSAGES[2:], []])
    outcomes = list(providers.stream(Silent(), lambda limit: next(calls)))
    assert [(type(outcome), outcome.key) for outcome in outcomes] == [
        (Accepted, "1-1"),
        (InDoubt, "1-2"),
        (Accepted, "1-3"),
    ]


def test_the_files_provider_leaves_one_file_a_message_however_often(tmp_path: Path) -> None:
    files = Files(tmp_path / "outbox")
    for _ in range(2):
        list(files.hand_over([_message(1), _message(2)]))
    assert sorted(path.name for path in (tmp_path / "outbox").iterdir()) == ["1-1.eml", "1-2.eml"]


def test_the_files_provider_that_cannot_write_says_the_mend(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in the way")
    with pytest.raises(NotAllowed, match=r"set delivery\.outbox"):
        list(Files(tmp_path / "outbox").hand_over([_message(1)]))
