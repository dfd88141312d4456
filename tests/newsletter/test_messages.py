"""The message as it leaves: headers that mail clients rely on, and bytes that any parser reads."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from email.headerregistry import Address
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from newsletter.messages import (
    BadHeader,
    Mould,
    Sender,
    compose,
    compose_letter,
    list_id_of,
    message_id,
    to_bytes,
    wire_address,
)
from newsletter.rendering import Form, Masthead, Reader, RenderedEdition, Renderer
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
LINES = st.lists(
    ANY_TEXT
    | st.integers(1, 160).map(".".__mul__)
    | st.integers(70, 80).map(lambda n: "." + "x" * n)
    | st.just("From here "),
    max_size=6,
).map("\n".join)
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


@settings(max_examples=75, deadline=None)
@given(st.tuples(LINES, LINES), st.tuples(LINES, LINES), VALUES)
def test_whatever_stands_around_a_gap_and_in_it_arrives_as_it_was(
    text: tuple[str, str], html: tuple[str, str], because: str
) -> None:
    rendered, reader = _edition(text, html), replace(READER, because=because)
    message = compose(rendered, reader, SENDER, key="1-1", issue=1, date=DAY)
    data = to_bytes(message)
    assert max(map(len, data.split(b"\r\n"))) <= 76
    assert b"\n" not in data.replace(b"\r\n", b"") and b"\r" not in data.replace(b"\r\n", b"")
    assert data.isascii() and data.endswith(b"\r\n") and b"\n." not in data
    parsed = _parsed(message)
    assert _defects(parsed) == []
    assert _contents(parsed) == [rendered.text(reader), rendered.html(reader)]
    text_alone = compose(rendered, reader, SENDER, key="1-1", issue=1, date=DAY, text_only=True)
    assert _contents(_parsed(text_alone)) == [rendered.text(reader)]


@settings(max_examples=100, deadline=None)
@given(LINES, LINES)
def test_a_message_without_an_edition_arrives_as_it_was_too(text: str, html: str) -> None:
    message = Message("letter-1", "ada@example.com", (("Subject", "x"),), f"{text}\n", html)
    assert b"\n." not in to_bytes(message)
    assert max(map(len, to_bytes(message).split(b"\r\n"))) <= 76
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
@example(" ")
def test_any_name_of_the_list_stays_a_phrase_before_its_id(name: str) -> None:
    parsed = _parsed(_compose(sender=replace(SENDER, list_name=name)))
    assert f" {parsed['List-Id']}".endswith(" <ai-research-digest.example.com>")
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
