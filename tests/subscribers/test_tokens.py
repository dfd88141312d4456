"""Facts about links: what a token opens, and all that opens nothing."""

from __future__ import annotations

import datetime as dt
import itertools
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.tokens import LIFETIMES, Purpose, TokenError, Tokens, Trouble, Value, split_keys
from tests.subscribers.conftest import NOW, steady

KEY, OLD_KEY = "k" * 32, "o" * 32
ALPHABET = string.ascii_letters + string.digits + "-_.=+/ ~%\n\x00é"
TOKENS = Tokens([KEY])
FOR_EVER = [purpose for purpose in Purpose if purpose not in LIFETIMES]
VALUES = st.lists(
    st.one_of(st.integers(0, 10**18 - 1), st.from_regex(r"\A[A-Za-z_-][A-Za-z0-9_-]{0,20}\Z")), max_size=3
)


def trouble_of(tokens: Tokens, purpose: Purpose, token: str) -> Trouble | None:
    now = NOW if purpose in LIFETIMES else None
    try:
        tokens.read(purpose, token, now=now)
    except TokenError as error:
        return error.trouble
    return None


@steady
@given(st.sampled_from(list(Purpose)), VALUES)
def test_a_token_gives_back_its_values_to_its_purpose_alone(purpose: Purpose, values: list[Value]) -> None:
    now = NOW if purpose in LIFETIMES else None
    token = TOKENS.sign(purpose, *values, now=now)
    assert TOKENS.read(purpose, token, now=now) == tuple(values)
    others = {trouble_of(TOKENS, other, token) for other in Purpose if other is not purpose}
    assert others == {Trouble.WRONG_PURPOSE}


def test_of_ten_thousand_mutated_tokens_none_is_accepted() -> None:
    dice = random.Random(20260504)
    originals = [TOKENS.sign(Purpose.UNSUBSCRIBE, dice.randrange(10**6), 17) for _ in range(100)]
    mutants = [mutated(dice, token) for token in originals for _ in range(100)]
    assert len(mutants) == 10_000
    accepted = [token for token in mutants if trouble_of(TOKENS, Purpose.UNSUBSCRIBE, token) is None]
    assert accepted == []


def mutated(dice: random.Random, token: str) -> str:
    """The token with one to three characters changed, put in, taken out, swapped or turned in case."""
    changed = token
    while changed == token:
        for _ in range(dice.randint(1, 3)):
            at, char = dice.randrange(len(changed)), dice.choice(ALPHABET)
            head, mid, tail = changed[:at], changed[at], changed[at + 1 :]
            changed = (
                dice.choice(
                    [
                        head + char + tail,
                        head + char + mid + tail,
                        head + tail,
                        head + tail[:1] + mid + tail[1:],
                        head + mid.swapcase() + tail,
                    ]
                )
                or token
            )
    return changed


@steady
@given(st.integers(0, 10**9), st.integers(0, 21))
def test_no_other_spelling_of_a_signature_is_accepted(number: int, place: int) -> None:
    token = TOKENS.sign(Purpose.UNSUBSCRIBE, number)
    at = len(token) - 1 - place
    others = (token[:at] + char + token[at + 1 :] for char in ALPHABET if char != token[at])
    assert all(trouble_of(TOKENS, Purpose.UNSUBSCRIBE, other) is not None for other in others)


@steady
@given(st.text(max_size=300))
def test_any_text_is_refused_without_a_crash(text: str) -> None:
    assert trouble_of(TOKENS, Purpose.PREFERENCES, text) in (Trouble.MALFORMED, Trouble.FORGED)


def test_a_rotated_key_still_opens_old_links_and_a_removed_one_does_not() -> None:
    old_link = Tokens([OLD_KEY]).sign(Purpose.UNSUBSCRIBE, 5, 2)
    rotated = Tokens(split_keys(f"{KEY}, {OLD_KEY}"))
    assert rotated.read(Purpose.UNSUBSCRIBE, old_link) == (5, 2)
    assert rotated.sign(Purpose.UNSUBSCRIBE, 5, 2) == TOKENS.sign(Purpose.UNSUBSCRIBE, 5, 2)
    assert trouble_of(TOKENS, Purpose.UNSUBSCRIBE, old_link) is Trouble.FORGED


@pytest.mark.parametrize("purpose", FOR_EVER)
def test_links_of_old_mail_are_the_same_every_time_and_never_expire(purpose: Purpose) -> None:
    assert TOKENS.sign(purpose, 3, 1) == Tokens([KEY]).sign(purpose, 3, 1)
    assert TOKENS.read(purpose, TOKENS.sign(purpose, 3, 1)) == (3, 1)


@pytest.mark.parametrize(("purpose", "lifetime"), list(LIFETIMES.items()))
def test_other_links_work_for_their_lifetime(purpose: Purpose, lifetime: dt.timedelta) -> None:
    token = TOKENS.sign(purpose, 3, now=NOW)
    assert TOKENS.read(purpose, token, now=NOW + lifetime) == (3,)
    with pytest.raises(TokenError) as error:
        TOKENS.read(purpose, token, now=NOW + lifetime + dt.timedelta(seconds=1))
    assert error.value.trouble is Trouble.EXPIRED


def test_a_moment_is_asked_for_where_and_only_where_a_purpose_expires() -> None:
    with pytest.raises(ValueError, match="CONFIRM"):
        TOKENS.sign(Purpose.CONFIRM, 1)
    with pytest.raises(ValueError, match="UNSUBSCRIBE"):
        TOKENS.sign(Purpose.UNSUBSCRIBE, 1, now=NOW)
    with pytest.raises(ValueError, match="needs now"):
        TOKENS.read(Purpose.CONFIRM, TOKENS.sign(Purpose.CONFIRM, 1, now=NOW))


@pytest.mark.parametrize("value", [-1, 10**18, True, "", "1a", "ann@example.com", "a.b", "ä", "a" * 65])
def test_a_link_carries_only_plain_numbers_and_words(value: Value) -> None:
    with pytest.raises(ValueError, match="plain numbers and words"):
        TOKENS.sign(Purpose.UNSUBSCRIBE, value)


@pytest.mark.parametrize("keys", [[], [""], ["short"], [KEY, "short"]])
def test_weak_keys_are_refused(keys: list[str]) -> None:
    with pytest.raises(ValueError, match="16 characters"):
        Tokens(keys)


def test_tokens_are_short_fit_into_a_url_and_an_error_does_not_repeat_them() -> None:
    token = TOKENS.sign(Purpose.UNSUBSCRIBE, 1_000_000, 365)
    assert len(token) <= 40
    assert not set(token) - set(string.ascii_letters + string.digits + "-_.")
    with pytest.raises(TokenError) as error:
        TOKENS.read(Purpose.PREFERENCES, token)
    assert token not in str(error.value)


def test_two_purposes_never_share_a_letter() -> None:
    assert all(one.value != other.value for one, other in itertools.combinations(Purpose, 2))
