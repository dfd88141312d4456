"""Signs messages by DKIM, so that who gets them sees that nobody changed them (RFC 6376)."""

from __future__ import annotations

from dataclasses import dataclass, field

import dkim

from newsletter.messages import wire_address

SIGNED_HEADERS = (
    "From",
    # Named once more than it is there, so that nobody can add another one (RFC 6376, 5.4.2).
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Reply-To",
    "MIME-Version",
    "Content-Type",
    "List-Id",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Feedback-ID",
)
"""What a signature covers. RFC 8058, 4, asks for both headers of unsubscribing."""


class BadKey(ValueError):
    """The key of the signature cannot be used; the text says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What signs messages by DKIM. ``key`` is an RSA key in PEM. Raises BadKey for one that cannot sign."""

    selector: str
    domain: str
    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        try:
            self.sign(b"From: a@example.com\r\n\r\n\r\n")
        except (dkim.DKIMException, ValueError) as error:
            raise BadKey(f"no RSA key in PEM: {error}") from error

    def sign(self, data: bytes) -> bytes:
        """The message with its signature."""
        signer = dkim.DKIM(data)
        names = [name.lower().encode() for name in SIGNED_HEADERS]
        found: bytes = signer.sign(
            self.selector.encode(),
            wire_address(self.domain).encode(),
            self.key,
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=names,
        )
        return found + data
