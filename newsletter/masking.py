"""Keeps addresses and passwords out of what is printed, logged, or kept longer than the person it is about."""

from __future__ import annotations

import re

ADDRESS = re.compile(r"[^\s<>()\[\]:;,\"']+@[^\s<>()\[\]:;,\"']+")
"""What may be a mail address in a sentence of somebody else's."""
_PASSWORD = re.compile(r"(?<=://)([^\s/@:]*):[^\s/]*(?=@)")


def masked(address: str) -> str:
    """An address as it may be shown to who looks over a shoulder: the first letter, and the domain."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}\N{HORIZONTAL ELLIPSIS}{at}{domain}" if at else address


def mask_addresses(text: str) -> str:
    """A sentence with every address in it masked, as a provider's answer that is kept."""
    return ADDRESS.sub(lambda found: masked(found[0]), text)


def mask_password(text: str) -> str:
    """A text with the password of every URL in it left out (RFC 3986, 3.2.1)."""
    return _PASSWORD.sub(r"\1:***", text)
