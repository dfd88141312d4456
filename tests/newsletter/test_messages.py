"""The message as it leaves: headers that mail clients rely on, and bytes that any parser reads."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.messages import BadHeader, Sender, compose, list_id_of, message_id, to_bytes
from newsletter.rendering import Masthead, Reader, Renderer
from newsletter.values import Edition, Message
from tests.newsletter.makers import DAY, issue

SENDER = Sender("Digest, daily", "digest@example.com", "AI Research Digest", "ai-research-digest.example.com")
READER = Reader(
    address="ada@example.com",
    unsubscribe_url="https://n.example.com/u/u.1.1.sig",
    preferences_url="https://n.example.com/p/p.1.sig",
    because="you follow everything",
)
MADE = issue()
RENDERED = Renderer(Masthead("AI Research Digest", "https://n.example.com")).edition(Edition(MADE, MADE.pieces))


def _compose(*, reader: Reader = READER, sender: Sender = SENDER, text_only: bool = False, key: str = "1-1") -> Message:
    return compose(RENDERED, reader, sender, key=key, issue=1, date=DAY, text_only=text_only)


def _parsed(message: Message) -> EmailMessage:
    parsed = email.message_from_bytes(to_bytes(message), policy=email.policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def test_the_headers_are_those_that_mailboxes_ask_of_lists() -> None:
    parsed = _parsed(_compose())
    assert parsed["List-Unsubscribe"] == "<https://n.example.com/u/u.1.1.sig>"
    assert parsed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert parsed["List-Id"] == "AI Research Digest <ai-research-digest.example.com>"
    assert parsed["Feedback-ID"].endswith(":ai-research-digest.example.com")
    assert parsed["From"].addresses[0].addr_spec == "digest@example.com"
    assert parsed["From"].addresses[0].display_name == "Digest, daily"
    assert parsed["To"].addresses[0].addr_spec == "ada@example.com"
    assert parsed["Date"].datetime == DAY
    assert parsed["Subject"] == RENDERED.subject


def test_text_comes_before_html_and_both_arrive_as_they_were() -> None:
    parsed = _parsed(_compose())
    kinds = [part.get_content_type() for part in parsed.iter_parts()]
    assert kinds == ["text/plain", "text/html"]
    text, html = (part.get_content().replace("\r\n", "\n") for part in parsed.iter_parts())
    assert text.strip() == RENDERED.text(READER).strip()
    assert html.strip() == RENDERED.html(READER).strip()


def test_who_asked_for_text_gets_no_html() -> None:
    parsed = _parsed(_compose(text_only=True))
    assert parsed.get_content_type() == "text/plain"


def test_the_same_message_gives_the_same_bytes_and_no_line_is_long() -> None:
    first, second = to_bytes(_compose()), to_bytes(_compose())
    assert first == second
    assert max(len(line) for line in first.split(b"\r\n")) <= 998
    assert b"\n" not in first.replace(b"\r\n", b"")


def test_the_bytes_parse_without_a_defect() -> None:
    parsed = _parsed(_compose())
    assert parsed.defects == [] and all(part.defects == [] for part in parsed.walk())


def test_a_message_id_is_the_deliverys_and_says_nothing_of_the_reader() -> None:
    assert message_id("1-1", SENDER) == message_id("1-1", SENDER) != message_id("1-2", SENDER)
    assert "ada" not in message_id("1-1", SENDER)


@pytest.mark.parametrize("evil", ["a\r\nBcc: x@example.com", "a\nb", "a\x00b", "a\x85b", "a\u2028b"])
def test_a_line_break_in_a_header_is_refused(evil: str) -> None:
    with pytest.raises(BadHeader):
        _compose(sender=replace(SENDER, name=evil))
    with pytest.raises(BadHeader):
        _compose(sender=replace(SENDER, reply_to=evil))


@settings(max_examples=30, deadline=None)
@given(st.text(min_size=1, max_size=60))
def test_any_name_in_from_stays_one_mailbox_or_is_refused(name: str) -> None:
    try:
        parsed = _parsed(_compose(sender=replace(SENDER, name=name)))
    except (BadHeader, UnicodeEncodeError):
        return
    assert [address.addr_spec for address in parsed["From"].addresses] == ["digest@example.com"]
    assert parsed["Bcc"] is None


@pytest.mark.parametrize(
    ("name", "slug"),
    [("AI Research Digest", "ai-research-digest"), ("Ü!", "newsletter"), ("---", "newsletter")],
)
def test_a_list_id_is_made_of_plain_letters(name: str, slug: str) -> None:
    assert list_id_of(name, "example.com") == f"{slug}.example.com"
