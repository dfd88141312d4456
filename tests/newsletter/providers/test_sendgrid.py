"""Handing over to SendGrid: few requests that hold to its rules, and what each of its answers means."""

from __future__ import annotations

import datetime as dt
import json
import logging
import os
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from newsletter.messages import Mould, Sender
from newsletter.providers import Accepted, InDoubt, NotAllowed, Outcome, Refused, TryLater
from newsletter.providers.sendgrid import SendGrid
from newsletter.rendering import LONGEST_READER, Masthead, Reader, Renderer
from newsletter.values import Edition, Message
from tests.newsletter import fake_sendgrid
from tests.newsletter.fake_sendgrid import KEY, Behaviour, FakeSendGrid, raw, reset, status
from tests.newsletter.makers import DAY, issue

MADE = issue()
SENDER = Sender("Dig\N{LATIN SMALL LETTER E WITH ACUTE}st, daily", "digest@example.com", "Digest", "d.example.com")
RENDERER = Renderer(Masthead("AI Research Digest", "https://n.example.com", postal_address="1 Example Street"))
WHOLE = Mould(RENDERER.edition(Edition(MADE, MADE.pieces)), SENDER, 1)
PART = Mould(RENDERER.edition(Edition(MADE, MADE.pieces[:1])), SENDER, 1)


def _reader(number: int, address: str = "") -> Reader:
    return Reader(
        address=address or f"r{number}@example.com",
        unsubscribe_url=f"https://n.example.com/u/u.{number}.1.sig?a&b",
        preferences_url=f"https://n.example.com/p/p.{number}.sig",
        because="you follow safety & <theory>",
        feedback_url=f"https://n.example.com/f/f.{number}.1.sig",
    )


def _message(number: int, *, mould: Mould = WHOLE, text_only: bool = False, address: str = "") -> Message:
    return mould.address(_reader(number, address), key=f"1-{number}", date=DAY, text_only=text_only)


def _messages(count: int) -> list[Message]:
    return [_message(number) for number in range(1, count + 1)]


def _provider(service: FakeSendGrid, **changes: object) -> SendGrid:
    return replace(SendGrid(KEY, service.host, timeout_seconds=5, list_id="d.example.com"), **changes)  # type: ignore[arg-type]  # named fields


def _hand_over(service: FakeSendGrid, messages: Sequence[Message], **changes: object) -> dict[str, Outcome]:
    outcomes = list(_provider(service, **changes).hand_over(messages))
    assert Counter(outcome.key for outcome in outcomes) == Counter(message.key for message in messages)
    return {outcome.key: outcome for outcome in outcomes}


def _kinds(outcomes: dict[str, Outcome]) -> dict[type[Outcome], int]:
    return dict(Counter(type(outcome) for outcome in outcomes.values()))


def test_a_thousand_readers_of_an_edition_are_one_request() -> None:
    with FakeSendGrid() as service:
        assert _kinds(_hand_over(service, _messages(1000))) == {Accepted: 1000}
        assert len(service.payloads) == 1
        assert service.accepted == Counter({f"1-{number}": 1 for number in range(1, 1001)})


def test_each_reader_gets_just_what_the_message_says() -> None:
    sent = [_message(1), _message(2, mould=PART), _message(3, text_only=True), _message(4, mould=PART)]
    with FakeSendGrid() as service:
        _hand_over(service, sent)
        assert len(service.payloads) == 3
        mails = {mail.key: mail for mail in service.mails}
    for message in sent:
        mail = mails[message.key]
        assert (mail.to, mail.text, mail.html) == (message.to, message.text, message.html)
        named = ("Message-ID", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post", "Feedback-ID")
        assert mail.headers == {name: message.header(name) for name in named}


def test_a_request_is_from_the_sender_and_tracks_nobody() -> None:
    sender = replace(SENDER, reply_to="desk@example.com")
    mould = Mould(WHOLE.rendered, sender, 1)
    with FakeSendGrid() as service:
        _hand_over(service, [_message(1, mould=mould)])
        (payload,) = service.payloads
    assert payload["from"] == {"email": "digest@example.com", "name": SENDER.name}
    assert payload["reply_to"] == {"email": "desk@example.com"}
    assert payload["subject"] == WHOLE.rendered.subject
    tracking = payload["tracking_settings"]
    assert not any(value for settings in tracking.values() for value in settings.values())
    assert {"click_tracking", "open_tracking", "subscription_tracking"} <= tracking.keys()
    assert not {"asm", "template_id", "categories"} & payload.keys()


def test_what_goes_beside_the_mail_says_nothing_of_the_reader() -> None:
    with FakeSendGrid() as service:
        _hand_over(service, [_message(1)])
        (row,) = service.payloads[0]["personalizations"]
    assert row["custom_args"] == {"key": "1-1", "list": "d.example.com"}


def test_no_tag_is_used_twice() -> None:
    with FakeSendGrid() as service:
        for _ in range(2):
            _hand_over(service, [_message(1)])
        first, second = (payload["personalizations"][0]["substitutions"].keys() for payload in service.payloads)
    assert not first & second


def test_nobody_stands_in_a_request_twice() -> None:
    twins = [_message(1, address="Ada@example.com"), _message(2, address="ada@example.com"), _message(3)]
    with FakeSendGrid() as service:
        assert _kinds(_hand_over(service, twins)) == {Accepted: 3}
        assert [len(payload["personalizations"]) for payload in service.payloads] == [2, 1]


def test_values_that_are_longer_than_substitutions_may_be_go_in_the_text_itself() -> None:
    long = replace(LONGEST_READER, because=f"you follow {'everything ' * 1000}")
    message = WHOLE.address(long, key="1-9", date=DAY)
    with FakeSendGrid() as service:
        assert _kinds(_hand_over(service, [_message(1), message])) == {Accepted: 2}
        assert {mail.key: mail.html for mail in service.mails}["1-9"] == message.html


def test_the_longest_usual_values_fit() -> None:
    with FakeSendGrid() as service:
        message = WHOLE.address(LONGEST_READER, key="1-9", date=DAY)
        assert _kinds(_hand_over(service, [_message(1), message])) == {Accepted: 2}
        assert len(service.payloads) == 1


def test_an_address_outside_ascii_goes_by_its_domain_in_ascii_or_not_at_all() -> None:
    umlaut, no_domain = "ada@b\N{LATIN SMALL LETTER U WITH DIAERESIS}ro.example.com", f"ada@{chr(0x200B) * 70}.com"
    with FakeSendGrid() as service:
        outcomes = _hand_over(service, [_message(1, address=umlaut), _message(2, address=no_domain)])
        assert _kinds(outcomes) == {Accepted: 1, Refused: 1}
        assert [mail.to for mail in service.mails] == ["ada@xn--bro-hoa.example.com"]


def test_a_sandbox_checks_and_delivers_nothing() -> None:
    with FakeSendGrid() as service:
        assert _kinds(_hand_over(service, _messages(3), sandbox=True)) == {Accepted: 3}
        assert service.sandboxed == 3 and not service.mails


def test_readers_that_it_names_cost_themselves_alone() -> None:
    bad = frozenset({"r3@example.com", "r500@example.com"})
    with FakeSendGrid(refused=bad) as service:
        outcomes = _hand_over(service, _messages(1000))
        assert _kinds(outcomes) == {Accepted: 998, Refused: 2}
        assert outcomes["1-3"] == Refused("1-3", "Does not contain a valid address.")
        assert len(service.payloads) == 2 and set(service.accepted.values()) == {1}


def test_a_refusal_that_names_nobody_is_followed_down_to_the_reader() -> None:
    with FakeSendGrid(cursed=frozenset({"r3@example.com", "r700@example.com"})) as service:
        outcomes = _hand_over(service, _messages(1000))
        assert _kinds(outcomes) == {Accepted: 998, Refused: 2}
        assert {outcomes["1-3"], outcomes["1-700"]} == {
            Refused(key, "SendGrid answered 400: Bad Request") for key in ("1-3", "1-700")
        }
        assert len(service.payloads) < 45 and set(service.accepted.values()) == {1}


def test_what_is_too_large_goes_in_parts() -> None:
    with FakeSendGrid(most_rows=300) as service:
        assert _kinds(_hand_over(service, _messages(1000))) == {Accepted: 1000}
        assert set(service.accepted.values()) == {1}


def test_what_is_wrong_for_every_reader_fails_no_reader() -> None:
    with FakeSendGrid(cursed=frozenset(f"r{number}@example.com" for number in range(1, 101))) as service:
        with pytest.raises(NotAllowed, match="refuses every message: SendGrid answered 400: Bad Request"):
            list(_provider(service).hand_over(_messages(100)))
        assert len(service.payloads) < 40
    with FakeSendGrid([status(400, "is not verified", "from.email")]) as service:
        with pytest.raises(NotAllowed, match=r"refuses `from\.email` of every message: is not verified"):
            list(_provider(service).hand_over(_messages(100)))
        assert len(service.payloads) == 1


@pytest.mark.parametrize("code", [401, 403, 404, 301])
def test_who_is_not_accepted_hands_nothing_over(code: int) -> None:
    with FakeSendGrid([status(code, "no", Location="http://127.0.0.1:9/")]) as service:
        with pytest.raises(NotAllowed, match=rf"answered {code}: no; check SENDGRID"):
            list(_provider(service).hand_over(_messages(3)))
        assert len(service.payloads) == 1


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_later_means_that_nothing_more_is_asked(code: int) -> None:
    messages = [_message(1), _message(2, mould=PART)]
    with FakeSendGrid([status(code, "busy", Retry_After="120")]) as service:
        outcomes = _hand_over(service, messages)
        assert outcomes["1-1"] == TryLater("1-1", f"SendGrid answered {code}: busy", 120.0)
        assert outcomes["1-2"] == replace(outcomes["1-1"], key="1-2")
        assert len(service.payloads) == 1


def test_a_wish_may_be_a_date_and_nonsense_is_none() -> None:
    date = format_datetime(dt.datetime.now(dt.UTC) + dt.timedelta(seconds=90), usegmt=True)
    for wish, least, most in ((date, 80, 91), ("soon", 0, 0), ("-5", 0, 0)):
        with FakeSendGrid([status(429, Retry_After=wish)]) as service:
            (outcome,) = _hand_over(service, [_message(1)]).values()
            assert isinstance(outcome, TryLater) and least <= outcome.after <= most


def test_later_in_the_middle_of_halving_keeps_what_was_taken() -> None:
    curse = frozenset({"r1@example.com"})
    script = [fake_sendgrid.answer] * 4 + [status(429)]
    with FakeSendGrid(script, cursed=curse) as service:
        outcomes = _hand_over(service, _messages(8))
        assert _kinds(outcomes) == {Refused: 1, TryLater: 7}
        assert _kinds({key: one for key, one in outcomes.items() if key == "1-1"}) == {Refused: 1}


@pytest.mark.parametrize(
    "behaviour",
    [
        reset(takes=False),
        reset(takes=True),
        raw(b"HTTP/1.1 20", takes=True),
        raw(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<p>Hello.</p>"),
        raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<p>"),
        raw(b"<p>Hello.</p>"),
        raw(b""),
        status(504, "time-out"),
        status(204),
    ],
)
def test_what_left_and_was_not_accepted_in_so_many_words_is_in_doubt(behaviour: Behaviour) -> None:
    with FakeSendGrid([behaviour]) as service:
        assert _kinds(_hand_over(service, _messages(3))) == {InDoubt: 3}
        assert len(service.payloads) == 1


def test_a_time_out_after_acceptance_is_in_doubt() -> None:
    with FakeSendGrid([fake_sendgrid.hang]) as service:
        assert _kinds(_hand_over(service, _messages(3), timeout_seconds=0.3)) == {InDoubt: 3}
        assert set(service.accepted.values()) == {1}


def test_an_acceptance_stands_though_its_answer_is_cut_off() -> None:
    with FakeSendGrid([raw(b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n", takes=True)]) as service:
        assert _kinds(_hand_over(service, _messages(3))) == {Accepted: 3}


def test_outside_the_sandbox_its_answer_is_no_acceptance() -> None:
    with FakeSendGrid([status(202)]) as service:
        assert _kinds(_hand_over(service, _messages(1), sandbox=True)) == {InDoubt: 1}


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with FakeSendGrid() as service:
        assert _kinds(_hand_over(service, [_message(1)])) == {Accepted: 1}


def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("python_http_client.client").setLevel(logging.DEBUG)
    with FakeSendGrid([fake_sendgrid.answer, status(401)]) as service:
        provider = _provider(service)
        list(provider.hand_over([_message(1)]))
        with pytest.raises(NotAllowed) as caught:
            list(provider.hand_over([_message(2)]))
    shown = caplog.text + "".join(traceback.format_exception(caught.value)) + repr(provider)
    assert KEY not in shown and "r1@example.com" not in shown


@pytest.mark.parametrize("key", ["", "SG.a b", "SG.a\r\nX: y", "SG.\N{EURO SIGN}"])
def test_a_key_that_is_none_is_refused_and_not_repeated(key: str) -> None:
    with pytest.raises(ValueError, match="no key has") as caught:
        SendGrid(key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize("host", ["api.example.com", "ftp://example.com", ""])
def test_a_host_that_is_no_web_address_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="no http or https address"):
        SendGrid(KEY, host)


# SendGrid's own description of a request

_DESCRIPTION = Path(os.environ.get("CORPUS_DIR", "")) / "sendgrid-oai" / "spec" / "json" / "tsg_mail_v3.json"


def _strict(node: Any) -> Any:
    """A schema of OpenAPI 3.0 as one of JSON Schema, in which nothing may stand that it does not describe."""
    if isinstance(node, list):
        return [_strict(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _strict(value) for key, value in node.items() if key not in ("example", "nullable")}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    return made


@pytest.mark.slow
@pytest.mark.skipif(not _DESCRIPTION.is_file(), reason="CORPUS_DIR holds no checkout of twilio/sendgrid-oai")
def test_requests_hold_to_sendgrids_published_description() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed: `pip install jsonschema`")
    described = json.loads(_DESCRIPTION.read_text("utf-8"))
    parts = described["components"]
    request = parts["requestBodies"]["PostMailSend"]["content"]["application/json"]["schema"]
    schema = {**_strict(request), "components": _strict({"schemas": parts["schemas"]})}
    validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    long = f"{'x' * 60}@{'y' * 60}.example.com"
    sent = [*_messages(2500), _message(2501, mould=PART), _message(2502, text_only=True), _message(2503, address=long)]
    answered = replace(SENDER, reply_to="answers@example.com")
    sent.append(_message(2504, mould=Mould(RENDERER.edition(Edition(MADE, MADE.pieces)), answered, 1)))
    sent.append(Message("letter-1", "r@example.com", (("From", "Digest <d@example.com>"), ("Subject", "Hi")), "text"))
    with FakeSendGrid() as service:
        for start in range(0, len(sent), 1000):
            _hand_over(service, sent[start : start + 1000])
        _hand_over(service, sent[-5:], sandbox=True)
        payloads = service.payloads
    assert sum(len(payload["personalizations"]) for payload in payloads) == len(sent) + 5
    assert [error.message for payload in payloads for error in validator.iter_errors(payload)] == []
    for broken in ({**payloads[0], "unheard": 1}, {**payloads[0], "from": "d@example.com"}, {"subject": "only"}):
        assert list(validator.iter_errors(broken)), "the description would let anything pass"
