"""What is masked can no longer be read, and the rest of the sentence can."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.masking import mask_addresses, mask_password, masked

WORD = st.text("abcdefghijklmnopqrstuvwxyz0123456789.+-_", min_size=2, max_size=20)


def test_an_address_keeps_its_first_letter_and_its_domain() -> None:
    assert masked("ann@example.com") == "a…@example.com"
    assert masked("no address") == "no address"


def test_a_sentence_keeps_all_but_the_addresses_in_it() -> None:
    said = '550 5.1.1 <bob.b@example.com>: user unknown (see "ann@example.org")'
    assert mask_addresses(said) == '550 5.1.1 <b…@example.com>: user unknown (see "a…@example.org")'


@given(WORD, WORD, st.text(max_size=20), st.text(max_size=20))
def test_no_address_is_left_in_any_sentence(local: str, domain: str, before: str, after: str) -> None:
    address = f"{local}@{domain}.example.com"
    assert address not in mask_addresses(f"{before} {address} {after}")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:pa:s@s@host/db", "postgresql+psycopg://me:***@host/db"),
        ("https://:token@example.com/feed", "https://:***@example.com/feed"),
        ("https://example.com:8000/a@b", "https://example.com:8000/a@b"),
        ("sqlite:////data/n.sqlite3", "sqlite:////data/n.sqlite3"),
        ("imaps://me@host/INBOX", "imaps://me@host/INBOX"),
    ],
)
def test_the_password_of_a_url_is_left_out(url: str, shown: str) -> None:
    assert mask_password(f"at {url} now") == f"at {shown} now"


@given(WORD)
def test_no_password_is_left_in_any_url(password: str) -> None:
    assert f":{password}@" not in mask_password(f"x://me:{password}@host/a and y://:{password}@host")
