"""The message as it leaves: headers that mail clients rely on, and bytes that any parser reads."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.messages import BadHeader, Sender, compose, compose_letter, list_id_of, message_id, to_bytes
from newsletter.rendering import Masthead, Reader, Renderer
from newsletter.values import Edition, Message
from tests.newsletter.makers import DAY, issue

SENDER = Sender("Digest, daily", "digest@example.com", "AI Research Digest", "ai-research-digest.example.com")
READER = Reader(
    address="ada@example.com",
    unsubscribe_url="https://n.example.com/u/u.1.1.sig",
    preferences_url="https://n.example.com/p/p.1.sig",
    because="you follow everything",
    feedback_url="https://n.example.com/f/f.1.1.sig",
)
MADE = issue()
RENDERER = Renderer(Masthead("AI Research Digest", "https://n.example.com"))
RENDERED = RENDERER.edition(Edition(MADE, MADE.pieces))
LETTER = RENDERER.letter("confirm", {"address": "ada@example.com", "url": "https://n.example.com/c/c.1.sig"})


def _compose(*, reader: Reader = READER, sender: Sender = SENDER, text_only: bool = False, key: str = "1-1") -> Message:
    return compose(RENDERED, reader, sender, key=key, issue=1, date=DAY, text_only=text_only)


def _letter(*, sender: Sender = SENDER, key: str = "letter-1", unsubscribe_url: str = "") -> Message:
    return compose_letter(LETTER, sender, to="ada@example.com", key=key, date=DAY, unsubscribe_url=unsubscribe_url)


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


def test_a_letter_says_that_a_machine_wrote_it_and_belongs_to_no_list() -> None:
    parsed = _parsed(_letter())
    assert parsed["Auto-Submitted"] == "auto-generated"
    assert not [name for name in parsed if name.lower().startswith("list-")]
    assert parsed["Subject"] == LETTER.subject
    assert parsed["To"].addresses[0].addr_spec == "ada@example.com"
    assert parsed["From"].addresses[0].addr_spec == "digest@example.com"
    assert parsed["Date"].datetime == DAY
    assert parsed["Message-ID"] == message_id("letter-1", SENDER)
    assert parsed["Reply-To"] is None
    assert _parsed(_letter(sender=replace(SENDER, reply_to="owner@example.com")))["Reply-To"] == "owner@example.com"


def test_a_letter_to_someone_on_the_list_can_be_left_in_one_click() -> None:
    parsed = _parsed(_letter(unsubscribe_url=READER.unsubscribe_url))
    issued = _parsed(_compose())
    for name in ("List-Id", "List-Unsubscribe", "List-Unsubscribe-Post"):
        assert parsed[name] == issued[name]


def test_a_letter_arrives_as_it_was_and_as_the_same_bytes() -> None:
    assert to_bytes(_letter()) == to_bytes(_letter())
    parsed = _parsed(_letter())
    assert parsed.defects == [] and all(part.defects == [] for part in parsed.walk())
    text, html = (part.get_content().replace("\r\n", "\n") for part in parsed.iter_parts())
    assert text.strip() == LETTER.text.strip()
    assert html.strip() == LETTER.html.strip()


@pytest.mark.parametrize("evil", ["a\r\nBcc: x@example.com", "a\nb", "a\x00b", "a\x85b", "a\u2028b"])
def test_a_line_break_in_a_header_of_a_letter_is_refused(evil: str) -> None:
    with pytest.raises(BadHeader):
        _letter(sender=replace(SENDER, name=evil))
    with pytest.raises(BadHeader):
        _letter(unsubscribe_url=f"https://n.example.com/{evil}")
    with pytest.raises(BadHeader):
        compose_letter(LETTER, SENDER, to=evil, key="letter-1", date=DAY)
    with pytest.raises(BadHeader):
        compose_letter(replace(LETTER, subject=evil), SENDER, to="ada@example.com", key="letter-1", date=DAY)


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
