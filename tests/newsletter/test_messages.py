"""The message as it leaves: headers that mail clients rely on, and bytes that any parser reads."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.messages import BadHeader, Mould, Sender, compose, list_id_of, message_id, to_bytes, wire_address
from newsletter.rendering import Form, Masthead, Reader, RenderedEdition, Renderer
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


def _contents(parsed: EmailMessage) -> list[str]:
    """What the parts say, with LF."""
    leaves = [part for part in parsed.walk() if not part.is_multipart()]
    return [part.get_content().replace("\r\n", "\n") for part in leaves]


def _by_the_library(message: Message) -> EmailMessage:
    """The same message as Python's own classes build it, which is slow."""
    mail = EmailMessage(policy=email.policy.SMTP.clone(cte_type="7bit"))
    for name, value in message.headers:
        display, _, address = value.rpartition(" <")
        is_mailbox = name in ("From", "To")
        mail[name] = Address(display_name=display, addr_spec=address.rstrip(">")) if is_mailbox else value
    mail.set_content(message.text, cte="quoted-printable")
    if message.html:
        mail.add_alternative(message.html, subtype="html", cte="quoted-printable")
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.SMTP)
    assert isinstance(parsed, EmailMessage)
    return parsed


def _defects(parsed: EmailMessage) -> list[object]:
    found: list[object] = [defect for part in parsed.walk() for defect in part.defects]
    return found + [defect for value in parsed.values() for defect in value.defects]


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
    assert _contents(parsed) == [RENDERED.text(READER), RENDERED.html(READER)]


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
    assert _defects(parsed) == []


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


def test_the_bytes_say_the_same_as_those_of_the_library() -> None:
    message = _compose()
    ours, theirs = _parsed(message), _by_the_library(message)
    assert {name: str(value) for name, value in ours.items() if name != "Content-Type"} == {
        name: str(value) for name, value in theirs.items() if name != "Content-Type"
    }
    # The library ends each part with a line break of its own.
    assert [part.strip() for part in _contents(ours)] == [part.strip() for part in _contents(theirs)]


def test_the_shared_parts_are_encoded_once_and_every_reader_gets_their_own_copy() -> None:
    mould = Mould(RENDERED, SENDER, 1)
    for name in ("ada", "grace"):
        reader = replace(READER, address=f"{name}@example.com", unsubscribe_url=f"https://n.example.com/u/{name}")
        message = mould.address(reader, key=name, date=DAY)
        assert _contents(_parsed(message)) == [RENDERED.text(reader), RENDERED.html(reader)]
        assert (message.text, message.html) == (RENDERED.text(reader), RENDERED.html(reader))
        assert _parsed(message)["List-Unsubscribe"] == f"<https://n.example.com/u/{name}>"


ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=200)
LINES = st.lists(ANY_TEXT | st.just("." * 3) | st.just("x" * 74) | st.just("From here "), max_size=6).map("\n".join)
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Zl", "Zp")), min_size=1, max_size=120)


def _edition(text_parts: tuple[str, str], html_parts: tuple[str, str], subject: str = "x") -> RenderedEdition:
    sentence = Form(("", ""), ("because",))
    return RenderedEdition(
        subject,
        "",
        html_form=Form((html_parts[0], "", html_parts[1]), ("reason", "unsubscribe_url")),
        text_form=Form((text_parts[0], f"{text_parts[1]}\n"), ("reason",)),
        reason=sentence,
        sent_to=Form(("", ""), ("address",)),
    )


@settings(max_examples=150, deadline=None)
@given(st.tuples(LINES, LINES), st.tuples(LINES, LINES), VALUES)
def test_whatever_stands_around_a_gap_and_in_it_arrives_as_it_was(
    text: tuple[str, str], html: tuple[str, str], because: str
) -> None:
    rendered, reader = _edition(text, html), replace(READER, because=because)
    message = compose(rendered, reader, SENDER, key="1-1", issue=1, date=DAY)
    data = to_bytes(message)
    assert max(map(len, data.split(b"\r\n"))) <= 76
    assert b"\n" not in data.replace(b"\r\n", b"") and b"\r" not in data.replace(b"\r\n", b"")
    assert data.isascii() and data.endswith(b"\r\n")
    parsed = _parsed(message)
    assert _defects(parsed) == []
    assert _contents(parsed) == [rendered.text(reader), rendered.html(reader)]
    text_alone = compose(rendered, reader, SENDER, key="1-1", issue=1, date=DAY, text_only=True)
    assert _contents(_parsed(text_alone)) == [rendered.text(reader)]


@settings(max_examples=100, deadline=None)
@given(LINES, LINES)
def test_a_message_without_an_edition_arrives_as_it_was_too(text: str, html: str) -> None:
    message = Message("letter-1", "ada@example.com", (("Subject", "x"),), f"{text}\n", html)
    assert _contents(_parsed(message)) == [f"{text}\n", *([html] if html else [])]


@settings(max_examples=100, deadline=None)
@given(VALUES | st.sampled_from(["=?utf-8?q?x?=", "a " * 60 + "b", "x" * 200, "two  spaces  " * 9 + "end"]))
def test_any_subject_arrives_as_it_was(subject: str) -> None:
    data = to_bytes(compose(_edition(("", ""), ("", ""), subject), READER, SENDER, key="1-1", issue=1, date=DAY))
    assert data.partition(b"\r\n\r\n")[0].isascii()
    parsed = email.message_from_bytes(data, policy=email.policy.SMTP)
    assert parsed["Subject"].strip() == subject.strip()
    assert len(parsed.keys()) == len(set(parsed.keys()))


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_any_name_of_the_list_stays_a_phrase_before_its_id(name: str) -> None:
    parsed = _parsed(_compose(sender=replace(SENDER, list_name=name)))
    assert str(parsed["List-Id"]).endswith(" <ai-research-digest.example.com>")
    assert parsed["Bcc"] is None and _defects(parsed) == []


def test_a_long_link_stays_whole_and_one_that_no_mail_may_have_is_refused() -> None:
    url = f"https://n.example.com/u/{'x' * 300}"
    assert f"List-Unsubscribe: <{url}>\r\n".encode() in to_bytes(_compose(reader=replace(READER, unsubscribe_url=url)))
    with pytest.raises(BadHeader, match="more than 998"):
        to_bytes(_compose(reader=replace(READER, unsubscribe_url=url + "x" * 700)))


def test_an_address_that_is_not_ascii_stands_as_it_is_and_its_domain_in_ascii() -> None:
    assert wire_address("digest@b\u00fccher.example") == "digest@xn--bcher-kva.example"
    data = to_bytes(_compose(reader=replace(READER, address="j\u00f6rg@example.com")))
    assert "To: j\u00f6rg@example.com\r\n".encode() in data
    with pytest.raises(BadHeader, match="is no domain"):
        wire_address("digest@" + "\u00fc" * 70 + ".example")
