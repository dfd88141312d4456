"""Mails as servers, mailbox providers and readers send them back, made small."""

from __future__ import annotations

CRLF = "\r\n"
ORIGINAL = (
    "From: Digest <digest@example.com>",
    "To: reader1@example.com",
    "Subject: An issue",
    "Message-ID: <no-such-id@example.com>",
)


def mail(*lines: str, body: str = "Hello.") -> bytes:
    """A mail of these header lines."""
    return CRLF.join([*lines, "", body, ""]).encode()


def report(kind: str, *parts: tuple[str, str], to: str = "digest@example.com", ref: str = "1") -> bytes:
    """A multipart/report with these parts: (content type, content)."""
    lines = [
        "From: Mail Delivery System <mailer-daemon@mx.example.net>",
        f"To: {to}",
        "Subject: Returned mail",
        f"Message-ID: <report-{ref}@mx.example.net>",
        "Date: Fri, 29 May 2026 09:00:00 +0200",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type={kind}; boundary="=-b"',
        "",
        "--=-b",
        "Content-Type: text/plain",
        "",
        "This is an automatic report.",
    ]
    for content_type, content in parts:
        lines += ["--=-b", f"Content-Type: {content_type}", "", content]
    return CRLF.join([*lines, "--=-b--", ""]).encode()


def bounce(
    *,
    action: str = "failed",
    status: str = "5.1.1",
    said: str = "smtp; 550 5.1.1 <reader1@example.com>: no such user",
    original: tuple[str, ...] = ORIGINAL,
    to: str = "digest@example.com",
    whole: bool = False,
    ref: str = "1",
) -> bytes:
    """A delivery status notification; ``whole`` returns the mail, else its headers alone."""
    fields = [
        "Reporting-MTA: dns; mx.example.net",
        "",
        "Original-Recipient: rfc822; reader1@example.com",
        "Final-Recipient: rfc822; reader1@example.com",
        f"Action: {action}",
        f"Status: {status}",
        f"Diagnostic-Code: {said}",
    ]
    returned = CRLF.join([*original, *(("", "The mail.") if whole else ())])
    kind = "message/rfc822" if whole else "text/rfc822-headers"
    return report("delivery-status", ("message/delivery-status", CRLF.join(fields)), (kind, returned), to=to, ref=ref)


def complaint(*, kind: str = "abuse", original: tuple[str, ...] = ORIGINAL, more: tuple[str, ...] = ()) -> bytes:
    """A feedback report."""
    fields = [f"Feedback-Type: {kind}", "User-Agent: Complaints/1.0", "Version: 1", *more]
    return report(
        "feedback-report",
        ("message/feedback-report", CRLF.join(fields)),
        ("message/rfc822", CRLF.join([*original, "", "The mail."])),
    )
