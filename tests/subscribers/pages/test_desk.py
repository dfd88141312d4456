"""Who a visitor is: what the connection says, and what proxies that are believed add to it."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from subscribers.pages.desk import visitor

PROXIES = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "127.0.0.1/32", "2001:db8:ffff::/48")))


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.1, 127.0.0.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db8:ffff::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["[2001:db8::7]"], "2001:db8::7"),
        ("10.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("10.0.0.1", ["198.51.100.1, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, " + "x" * 10_000], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1,"], "10.0.0.1"),
        ("10.0.0.1", ["\r\n<script>\x00"], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
        ("testclient", ["198.51.100.1"], ""),
    ],
)
def test_the_last_address_that_no_believed_proxy_has_is_the_visitor(
    peer: str, forwarded: list[str], found: str
) -> None:
    assert visitor(peer, forwarded, PROXIES) == found


@given(st.text(), st.lists(st.text(), max_size=3))
def test_whatever_is_said_the_visitor_is_an_ip_address_or_nobody(peer: str, forwarded: list[str]) -> None:
    for who in (peer, "10.0.0.1", "192.0.2.1"):
        found = visitor(who, forwarded, PROXIES)
        assert found == "" or str(ipaddress.ip_address(found)) == found


@given(st.lists(st.text(), max_size=3))
def test_who_is_not_believed_changes_nothing_by_what_they_say(forwarded: list[str]) -> None:
    assert visitor("192.0.2.1", forwarded, PROXIES) == visitor("192.0.2.1", forwarded, ()) == "192.0.2.1"
