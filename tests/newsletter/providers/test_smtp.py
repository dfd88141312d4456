"""Handing over by SMTP: what every answer and every loss means, and that nothing is left behind."""

from __future__ import annotations

import email
import email.policy
import threading
from dataclasses import replace
from pathlib import Path

import dkim
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from newsletter.messages import to_bytes
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater, Unreachable
from newsletter.providers.smtp import BadKey, Security, Server, Signature, Smtp
from newsletter.values import Message
from tests.newsletter.mailserver import CUT, DROP, TAKE_AND_DROP, TAKE_AND_WAIT, MailServer, certificate

HEADERS = (
    ("From", "Digest, daily <digest@example.com>"),
    ("To", "r1@example.com"),
    ("Subject", "An issue"),
    ("Message-ID", "<1@example.com>"),
    ("List-Id", "<digest.example.com>"),
    ("List-Unsubscribe", "<https://n.example.com/u/1>"),
    ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),
)


def _message(number: int = 1, **changes: str) -> Message:
    given = {"key": f"1-{number}", "to": f"r{number}@example.com", "text": "Text\n", **changes}
    return Message(given["key"], given["to"], HEADERS, given["text"])


def _smtp(server: MailServer, connections: int = 1, **changes: object) -> Smtp:
    at = Server("127.0.0.1", server.port, "none", timeout_seconds=5)
    known = set(Server.__dataclass_fields__) & set(changes)
    at = replace(at, **{name: changes.pop(name) for name in known})  # type: ignore[arg-type]  # a test names them
    return replace(Smtp(at, connections), **changes)  # type: ignore[arg-type]  # a test names the fields


def _all(smtp: Smtp, *messages: Message) -> list[Outcome]:
    outcomes = list(smtp.hand_over(messages))
    assert not [thread for thread in threading.enumerate() if thread.name == "smtp"]
    return sorted(outcomes, key=lambda outcome: outcome.key)


def _only(smtp: Smtp, message: Message | None = None) -> Outcome:
    (outcome,) = _all(smtp, message or _message())
    return outcome


@pytest.fixture(scope="module")
def key() -> bytes:
    """An RSA key in PEM."""
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


# What is handed over


def test_the_message_arrives_byte_for_byte_with_its_envelope() -> None:
    message = _message(text=".\n..dots\nFrom here\n")
    with MailServer() as server:
        assert _only(_smtp(server), message) == Accepted("1-1", "1")
    (mail,) = server.taken
    assert (mail.sender, mail.recipient, mail.data) == ("digest@example.com", "r1@example.com", to_bytes(message))


@pytest.mark.parametrize(
    ("configured", "sender"),
    [
        ("", "digest@example.com"),
        ("bounces@example.com", "bounces@example.com"),
        ("bounces+{key}@example.com", "bounces+1-1@example.com"),
        ("{key}@b\u00fccher.example", "1-1@xn--bcher-kva.example"),
    ],
)
def test_bounces_go_to_the_return_path_which_may_hold_the_key(configured: str, sender: str) -> None:
    with MailServer() as server:
        _only(_smtp(server, return_path=configured))
    assert server.taken[0].sender == sender


def test_many_messages_share_a_connection_up_to_so_many() -> None:
    with MailServer() as server:
        outcomes = _all(_smtp(server, messages_per_connection=4), *map(_message, range(10)))
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert server.connections == 3
    assert server.commands.count("QUIT") == 3


def test_several_connections_share_the_messages_and_all_end() -> None:
    with MailServer() as server:
        outcomes = _all(_smtp(server, 3), *map(_message, range(30)))
        assert len(server.recipients) == len(outcomes) == 30
        assert 1 <= server.connections <= 3
        assert server.commands.count("QUIT") == server.connections


def test_a_server_that_grants_fewer_connections_gets_all_by_those() -> None:
    with MailServer(most_connections=2) as server:
        outcomes = _all(_smtp(server, 4), *map(_message, range(20)))
    assert {type(outcome) for outcome in outcomes} == {Accepted}
    assert len(server.recipients) == 20


def test_who_stops_listening_leaves_no_connection_and_no_thread() -> None:
    with MailServer({"END r2@example.com": TAKE_AND_WAIT}) as server:
        flow = _smtp(server, 2).hand_over([_message(1), _message(2), _message(3)])
        assert isinstance(next(flow), Accepted)
        flow.close()  # type: ignore[attr-defined]  # it is a generator
        assert not [thread for thread in threading.enumerate() if thread.name == "smtp"]


def test_a_server_without_pipelining_or_extensions_is_served_too() -> None:
    with MailServer({"RCPT r2@example.com": "550 no"}, extensions=("HELP",)) as server:
        outcomes = _all(_smtp(server), _message(1), _message(2), _message(3))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused, Accepted]
    assert server.connections == 1


# Addresses


def test_an_address_beyond_ascii_goes_where_the_server_takes_it() -> None:
    message = replace(_message(to="j\u00f6rg@example.com"), headers=(HEADERS[0], ("To", "j\u00f6rg@example.com")))
    with MailServer() as server:
        assert isinstance(_only(_smtp(server), message), Accepted)
    assert "MAIL FROM:<digest@example.com> BODY=8BITMIME SMTPUTF8" in server.commands
    with MailServer(extensions=("PIPELINING",)) as server:
        outcome = _only(_smtp(server), message)
    assert isinstance(outcome, Refused) and "SMTPUTF8" in outcome.why


@pytest.mark.parametrize("address", ["a@example.com>\r\nDATA", "a b@example.com", "<a@example.com", "a@example.com\n"])
def test_an_address_that_would_be_a_command_is_refused_before_it_is_one(address: str) -> None:
    with MailServer() as server:
        assert isinstance(_only(_smtp(server), _message(to=address)), Refused)
    assert server.connections == 0


# What answers mean


@pytest.mark.parametrize(
    ("command", "answer", "kind"),
    [
        ("MAIL", "451 4.3.0 later", TryLater),
        ("MAIL", "421 4.3.2 going down", TryLater),
        ("RCPT", "450 4.2.0 greylisted", TryLater),
        ("RCPT", "550 5.1.1 no such mailbox", Refused),
        ("RCPT", "421 4.3.2 going down", TryLater),
        ("DATA", "451 4.3.0 later", TryLater),
        ("DATA", "554 5.5.1 no", Refused),
        ("DATA", "250 what?", TryLater),
        ("END", "452 4.3.1 disk full", TryLater),
        ("END", "554 5.7.1 spam", Refused),
        ("END", "421 4.3.2 going down", TryLater),
        ("END", "200 fine", Accepted),
        ("END", "333 what?", InDoubt),
        ("END", "hello", InDoubt),
        ("MAIL", DROP, TryLater),
        ("RCPT", DROP, TryLater),
        ("DATA", DROP, TryLater),
        ("END", DROP, InDoubt),
        ("END", TAKE_AND_DROP, InDoubt),
    ],
)
@pytest.mark.parametrize("extensions", [("PIPELINING",), ("HELP",)])
def test_every_answer_and_every_loss_has_its_outcome(
    command: str, answer: str, kind: type[Outcome], extensions: tuple[str, ...]
) -> None:
    with MailServer({f"{command}": [answer]}, extensions=extensions) as server:
        outcomes = _all(_smtp(server), _message(1), _message(2))
    assert [type(outcome) for outcome in outcomes] == [kind, Accepted]
    assert server.recipients.count("r1@example.com") <= 1
    assert server.recipients.count("r2@example.com") == 1


def test_a_message_of_which_a_part_was_written_is_nobodys() -> None:
    long = _message(text=f"{'x' * 70}\n" * 200_000)
    with MailServer({"DATA": [CUT]}) as server:
        outcomes = _all(_smtp(server), long, _message(2))
    assert [type(outcome) for outcome in outcomes] == [TryLater, Accepted]
    assert server.recipients == ["r2@example.com"]


def test_a_server_that_says_nothing_of_a_message_leaves_it_in_doubt() -> None:
    with MailServer({"END": TAKE_AND_WAIT}) as server:
        outcome = _only(_smtp(server, timeout_seconds=0.05))
        assert isinstance(outcome, InDoubt) and "timed out" in outcome.why


@pytest.mark.parametrize("answer", ["421 4.4.2 idle for too long", DROP])
@pytest.mark.parametrize("command", ["MAIL", "RCPT", "DATA"])
def test_a_connection_that_ended_meanwhile_is_replaced_and_nobody_pays_for_it(command: str, answer: str) -> None:
    usual = "354 go on" if command == "DATA" else "250 Ok"
    with MailServer({command: [usual, answer]}) as server:
        outcomes = _all(_smtp(server), _message(1), _message(2))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Accepted]
    assert server.connections == 2 and server.recipients == ["r1@example.com", "r2@example.com"]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("MAIL", "530 5.7.0 authentication required"),
        ("MAIL", "553 5.7.1 not your address"),
        ("RCPT", "530 5.7.0 authentication required"),
        ("RCPT", "554 5.7.1 <r1@example.com>: Relay access denied"),
        ("GREETING", "554 no mail service here"),
    ],
)
def test_a_server_that_does_not_take_our_mail_at_all_stops_it(command: str, answer: str) -> None:
    with MailServer({command: answer}) as server, pytest.raises(NotAllowed, match=answer[:3]):
        _all(_smtp(server, 2), _message(1), _message(2))
    assert server.taken == []


def test_a_refusal_to_relay_for_one_reader_after_others_is_that_readers() -> None:
    with MailServer({"RCPT r2@example.com": "550 relay not permitted"}) as server:
        outcomes = _all(_smtp(server), _message(1), _message(2))
    assert [type(outcome) for outcome in outcomes] == [Accepted, Refused]


def test_what_was_learned_before_a_stop_is_said() -> None:
    with MailServer({"MAIL": ["250 Ok", "530 5.7.0 no"]}) as server:
        flow = _smtp(server).hand_over([_message(1), _message(2)])
        assert next(flow) == Accepted("1-1", "1")
        with pytest.raises(NotAllowed):
            next(flow)


# Connections, encryption and login


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize("methods", ["PLAIN", "LOGIN"])
def test_it_encrypts_checks_the_certificate_and_logs_in(security: Security, methods: str, tmp_path: Path) -> None:
    tls, trusted = certificate(tmp_path)
    with MailServer(tls=tls, implicit=security == "tls", login=("ada", "secret"), methods=methods) as server:
        smtp = _smtp(server, security=security, username="ada", password="secret", ca_file=trusted)
        assert isinstance(_only(smtp), Accepted)
    assert ("STARTTLS" in server.commands) == (security == "starttls")


@pytest.mark.parametrize("security", ["starttls", "tls"])
@pytest.mark.parametrize(("days", "trusts"), [(1, False), (-1, True)])
def test_a_certificate_that_does_not_hold_stops_it_before_the_login(
    security: Security, days: int, trusts: bool, tmp_path: Path
) -> None:
    tls, trusted = certificate(tmp_path, days=days)
    with MailServer(tls=tls, implicit=security == "tls", login=("ada", "secret")) as server:
        ca_file = trusted if trusts else None
        smtp = _smtp(server, security=security, username="ada", password="secret", ca_file=ca_file)
        with pytest.raises(NotAllowed, match=r"certificate does not hold: .*; mend `smtp\.host`"):
            _all(smtp, _message())
    assert not [command for command in server.commands if command.startswith("AUTH")]


@pytest.mark.parametrize(
    ("security", "said"), [("starttls", r"mend `smtp\.security`|Mend `smtp\.security`"), ("tls", r"no TLS there")]
)
def test_a_server_without_tls_is_not_spoken_to_in_the_clear(security: Security, said: str) -> None:
    with MailServer() as server, pytest.raises(NotAllowed, match=said):
        _all(_smtp(server, security=security), _message())
    assert not [command for command in server.commands if command.startswith(("MAIL", "AUTH"))]


@pytest.mark.parametrize(
    "answers",
    [
        {"AUTH": "454 4.7.0 later"},
        {"GREETING": "421 4.3.2 busy"},
        {"GREETING": DROP},
        {"STARTTLS": "454 4.7.0 later"},
        {"STARTTLS": DROP},
    ],
)
def test_a_server_that_cannot_serve_now_is_tried_another_time(answers: dict[str, str], tmp_path: Path) -> None:
    tls, trusted = certificate(tmp_path)
    with MailServer(answers, tls=tls, login=("ada", "secret")) as server, pytest.raises(Unreachable):
        smtp = _smtp(server, 2, security="starttls", username="ada", password="secret", ca_file=trusted)
        _all(smtp, _message(1), _message(2), _message(3))
    assert server.taken == []


def test_a_server_that_goes_down_on_the_way_loses_nobody() -> None:
    with MailServer(
        {"END": ["250 Ok", "421 going down"], "GREETING": ["220 hi", "421 going down", "421 down"]}
    ) as server:
        outcomes = list[Outcome]()
        with pytest.raises(Unreachable):
            outcomes.extend(_smtp(server).hand_over([_message(1), _message(2), _message(3)]))
    assert server.recipients == ["r1@example.com"]


@pytest.mark.parametrize(
    ("login", "password"), [(("ada", "other"), "secret"), (None, "secret"), (("ada", "x"), "\u00fc")]
)
def test_a_login_that_fails_says_the_mend_and_not_the_password(login: tuple[str, str] | None, password: str) -> None:
    with MailServer(login=login) as server, pytest.raises(NotAllowed, match=r"smtp\.username") as caught:
        _all(_smtp(server, username="ada", password=password), _message())
    assert password not in str(caught.value) and password not in repr(caught.value.__cause__)


def test_a_login_in_the_clear_is_for_this_machine_alone() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        assert Server(host, security="none", username="ada").host == host
    with pytest.raises(ValueError, match="show the password"):
        Server("mail.example.com", security="none", username="ada", password="secret")
    assert "secret" not in repr(Server("mail.example.com", username="ada", password="secret"))


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_certificates_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content:
        file.write_text(content)
    with MailServer() as server, pytest.raises(NotAllowed, match=r"ca\.pem: no certificates"):
        _all(_smtp(server, ca_file=file), _message())


# Signatures


def _verifies(data: bytes, key: bytes) -> bool:
    public = serialization.load_pem_private_key(key, None).public_key()
    shown = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = b"v=DKIM1; k=rsa; p=" + b"".join(shown.splitlines()[1:-1])
    return bool(dkim.verify(data, dnsfunc=lambda name, timeout=5: record))


def test_a_signature_holds_and_covers_the_headers_of_lists(key: bytes) -> None:
    with MailServer() as server:
        _only(_smtp(server, signature=Signature("s1", "example.com", key)))
    data = server.taken[0].data
    assert _verifies(data, key)
    for name, value in HEADERS:
        changed = data.replace(f"\n{name}: ".encode(), f"\n{name}: x".encode())
        assert changed != data and not _verifies(changed, key), f"{name}: {value} is not covered"
    assert not _verifies(b"From: Eve <eve@example.com>\r\n" + data, key)
    assert email.message_from_bytes(data, policy=email.policy.SMTP)["DKIM-Signature"]


@pytest.mark.parametrize(
    "bad", [b"", b"no key", b"-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"]
)
def test_a_key_that_cannot_sign_is_refused_at_once(bad: bytes) -> None:
    with pytest.raises(BadKey, match="no RSA key"):
        Signature("s1", "example.com", bad)
