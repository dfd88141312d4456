"""Facts about addresses: what is one, and which spellings are the same person's."""

from __future__ import annotations

import unicodedata

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from subscribers.addresses import InvalidAddress, identity, parse
from tests.subscribers.conftest import steady

LOCAL = st.text(st.sampled_from("abzAZ09!#$%&'*+/=?^_`{|}~-."), min_size=1, max_size=70)
ANY_LOCAL = st.one_of(LOCAL, st.text(min_size=1, max_size=12))
DOMAIN = st.sampled_from(
    [
        "example.com",
        "EXAMPLE.org",
        "bücher.example.com",
        "xn--bcher-kva.example.com",
        "straße.example.com",
        "a.b-c.example.net",
        "-.example.com",
        "example..com",
        "[127.0.0.1]",
        "com",
        "",
        "exa mple.com",
        "<example.com>",
    ]
)


def identity_or_none(address: str) -> str | None:
    try:
        return identity(address)
    except InvalidAddress:
        return None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann@example.com", "Ann@Example.COM"),
        ("ann@example.com", "  ann@example.com "),
        ("ann@b\u00fccher.example.com", "ann@xn--bcher-kva.example.com"),
        ("ann@b\u00fccher.example.com", "ann@bu\u0308cher.example.com"),
        ("j\u00f6rg@example.com", "jo\u0308rg@example.com"),
        ("J\u00d6RG@example.com", "jo\u0308rg@example.com"),
    ],
)
def test_spellings_of_one_address_have_one_identity(one: str, other: str) -> None:
    assert identity(one) == identity(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ann@example.com", "ann+x@example.com"), ("a.nn@example.com", "ann@example.com")]
)
def test_tags_and_dots_tell_addresses_apart(one: str, other: str) -> None:
    assert identity(one) != identity(other)


def test_an_address_is_sent_to_as_given_with_its_domain_in_ascii() -> None:
    assert parse(" Ann.O'Neil@B\u00fccher.example.com").address == "Ann.O'Neil@xn--bcher-kva.example.com"


def test_a_local_part_has_64_characters_at_most() -> None:
    assert identity("a" * 64 + "@example.com") == "a" * 64 + "@example.com"
    with pytest.raises(InvalidAddress, match="longer than 64"):
        identity("a" * 65 + "@example.com")


@pytest.mark.parametrize(
    "address",
    [
        "",
        " ",
        "ann",
        "ann@",
        "@example.com",
        "ann@@example.com",
        "ann@localhost",
        "ann@[127.0.0.1]",
        '"ann"@example.com',
        "Ann <ann@example.com>",
        "ann@example.com, bob@example.com",
        "ann @example.com",
        "ann.@example.com",
        "ann@example.com\n",
        "ann@example.com\r\nBcc: bob@example.com",
        "a\x00nn@example.com",
        "\tann@example.com",
        "ann\u2028@example.com",
        "ann\x85@example.com",
        "a\u202enn@example.com",
        "a\ufffd@example.com",
        "a" + chr(0xD800) + "@example.com",
        "a" * 10000 + "@example.com",
        "ann@" + "a" * 64 + ".com",
        "ann@" + "abc." * 80 + "com",
    ],
)
def test_what_is_no_address_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(InvalidAddress) as refusal:
        identity(address)
    reason = str(refusal.value)
    assert 0 < len(reason) <= 200
    assert reason.isprintable()


@steady
@given(ANY_LOCAL, DOMAIN)
def test_an_identity_is_its_own_identity_and_in_normal_form(local: str, domain: str) -> None:
    found = identity_or_none(f"{local}@{domain}")
    if found is not None:
        assert identity(found) == found
        assert found == unicodedata.normalize("NFC", found)
        assert found.rpartition("@")[2].isascii()
        assert len(found.rpartition("@")[0]) <= 64


@steady
@given(LOCAL, DOMAIN)
def test_upper_and_lower_case_are_one_person(local: str, domain: str) -> None:
    if domain.isascii():
        assert identity_or_none(f"{local}@{domain}".upper()) == identity_or_none(f"{local}@{domain}".lower())


@steady
@given(ANY_LOCAL, DOMAIN)
def test_we_accept_what_email_validator_accepts_but_for_long_local_parts(local: str, domain: str) -> None:
    address = f"{local}@{domain}".strip(" ")
    try:
        checked = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        assert identity_or_none(address) is None
        return
    found = identity_or_none(address)
    if found is None:
        assert len(checked.local_part or "") > 64 or not address.isprintable()
    else:
        assert found.casefold() == f"{checked.local_part}@{checked.ascii_domain}".casefold()
