"""SendGrid's reports: what its events mean to us, and which posts are its own."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from newsletter.events import Kind
from newsletter.events.sendgrid import BadKey, Unreadable, Verifier, is_fresh, parse
from tests.newsletter.makers import DAY

LIST = "digest.example.com"
PRIVATE = ec.generate_private_key(ec.SECP256R1())


def _public(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = PRIVATE) -> str:
    return base64.b64encode(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


def _signed(body: bytes, stamp: str) -> str:
    return base64.b64encode(PRIVATE.sign(stamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()


def _item(name: str, **more: Any) -> dict[str, Any]:
    given = {"event": name, "key": "1-1", "list": LIST, "email": "ada@example.com", "sg_event_id": "e1"}
    return {**given, "timestamp": int(DAY.timestamp()) - 60, **more}


def _parsed(*items: dict[str, Any]) -> list[tuple[str, Kind, str]]:
    return [(event.key, event.kind, event.id) for event in parse(json.dumps(items).encode(), LIST, DAY)]


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (_item("processed"), Kind.ACCEPTED),
        (_item("deferred"), Kind.DEFERRED),
        (_item("delivered"), Kind.DELIVERED),
        (_item("bounce", type="bounce"), Kind.HARD_BOUNCE),
        (_item("bounce", type="bounce", bounce_classification="Invalid Address"), Kind.HARD_BOUNCE),
        (_item("bounce", type="bounce", bounce_classification="Mailbox Unavailable"), Kind.SOFT_BOUNCE),
        (_item("bounce", type="blocked"), Kind.SOFT_BOUNCE),
        (_item("blocked"), Kind.SOFT_BOUNCE),
        (_item("spamreport"), Kind.COMPLAINED),
        (_item("unsubscribe"), Kind.UNSUBSCRIBED),
        (_item("group_unsubscribe"), Kind.UNSUBSCRIBED),
        (_item("dropped", reason="Recipient List over Package Quota"), Kind.DROPPED),
    ],
)
def test_each_event_has_its_word_in_our_vocabulary(item: dict[str, Any], kind: Kind) -> None:
    assert _parsed(item) == [("1-1", kind, "sendgrid:e1")]


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Bounced Address", Kind.HARD_BOUNCE),
        ("Invalid", Kind.HARD_BOUNCE),
        ("Spam Reporting Address", Kind.COMPLAINED),
        ("Unsubscribed Address", Kind.UNSUBSCRIBED),
    ],
)
def test_a_drop_tells_what_sendgrid_knows_of_the_reader(reason: str, kind: Kind) -> None:
    dropped, learned = _parsed(_item("dropped", reason=reason))
    assert (dropped[1], learned[1]) == (Kind.DROPPED, kind)
    assert dropped[2] != learned[2]


def test_opens_clicks_and_other_mail_of_the_account_are_passed_over() -> None:
    ours = _item("delivered")
    others = [_item("open"), _item("click"), _item("delivered", list="other.example.com"), {"event": "delivered"}]
    assert _parsed(*others, ours, _item("delivered", list=None), _item("delivered", key=7), {"event": 5}) == [
        ("1-1", Kind.DELIVERED, "sendgrid:e1")
    ]


def test_an_event_without_an_id_has_the_same_one_each_time() -> None:
    first, second = _item("delivered", sg_event_id=None), _item("delivered", sg_event_id=None, ip="192.0.2.1")
    assert _parsed(first)[0][2] == _parsed(dict(reversed(first.items())))[0][2] != _parsed(second)[0][2]


def test_what_happened_when_and_why_is_taken_over() -> None:
    (event,) = parse(json.dumps([_item("bounce", reason="550 no such user", status="5.1.1")]).encode(), LIST, DAY)
    assert (event.at, event.why) == (DAY - dt.timedelta(seconds=60), "550 no such user 5.1.1")
    assert event.address == "ada@example.com"


@pytest.mark.parametrize("stamp", [None, "soon", -5, 0, 10**18, True, 1.5, []])
def test_a_time_that_cannot_be_is_now(stamp: object) -> None:
    (event,) = parse(json.dumps([_item("delivered", timestamp=stamp)]).encode(), LIST, DAY)
    assert event.at == DAY


def test_a_file_may_have_one_event_or_one_array_a_line() -> None:
    lines = [json.dumps(_item("delivered", sg_event_id="a")), "", json.dumps([_item("bounce", sg_event_id="b")])]
    assert [event.id for event in parse("\n".join(lines).encode(), LIST, DAY)] == ["sendgrid:a", "sendgrid:b"]


@pytest.mark.parametrize("data", [b"x", b"[1]", b'"x"', b"[[]]", b"\xff", b"{", b"[" * 100_000, b'[{"a":}]'])
def test_what_is_no_list_of_events_is_said(data: bytes) -> None:
    with pytest.raises(Unreadable):
        parse(data, LIST, DAY)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["event", "key", "list", "timestamp", "reason", "sg_event_id"]), _JSON))
def test_no_event_however_odd_breaks_it(odd: dict[str, Any]) -> None:
    for item in (odd, {**_item("dropped"), **odd}):
        assert len(_parsed(item)) <= 2


def test_a_post_is_genuine_when_its_bytes_and_its_time_were_signed() -> None:
    verifier, body = Verifier(_public()), b'[{"event": "delivered"}]\r\n'
    signature = _signed(body, "1700000000")
    assert verifier.is_genuine(body, signature, "1700000000")
    assert not verifier.is_genuine(body + b" ", signature, "1700000000")
    assert not verifier.is_genuine(body, signature, "1700000001")
    other = Verifier(_public(ec.generate_private_key(ec.SECP256R1())))
    assert not other.is_genuine(body, signature, "1700000000")


@pytest.mark.parametrize("signature", ["", "x", "AAAA", "\xe9", "MEUCIQ==", "=" * 999])
def test_a_signature_that_is_none_is_just_not_genuine(signature: str) -> None:
    assert not Verifier(_public()).is_genuine(b"[]", signature, "\udce9")


def test_a_key_that_cannot_be_is_said() -> None:
    for key in ("", "x", "AAAA", _public(rsa.generate_private_key(65537, 2048))):
        with pytest.raises(BadKey):
            Verifier(key)
    with pytest.raises(BadKey, match="P-256"):
        Verifier(_public(ec.generate_private_key(ec.SECP384R1())))


@pytest.mark.parametrize(
    ("ago", "fresh"),
    [(0, True), (24 * 3600, True), (26 * 3600, False), (-240, True), (-360, False)],
)
def test_a_post_may_be_as_old_as_sendgrids_last_try_and_hardly_of_the_future(ago: int, fresh: bool) -> None:
    assert is_fresh(str(int(DAY.timestamp()) - ago), DAY) is fresh


@pytest.mark.parametrize("stamp", ["", "x", "-1", "1e9", "9" * 40, "\u0661\u0662"])
def test_a_stamp_that_is_no_time_is_not_fresh(stamp: str) -> None:
    assert not is_fresh(stamp, DAY)
