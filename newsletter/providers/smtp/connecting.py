"""A connection to a mail server: reached, encrypted, its certificate checked, and logged in."""

from __future__ import annotations

import contextlib
import functools
import smtplib
import socket
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from newsletter.config import is_this_machine
from newsletter.providers import NotAllowed
from newsletter.providers.smtp.dialogue import Lost

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True, slots=True)
class Server:
    """Where the mail server is, and how to speak with it.

    ``timeout_seconds`` is the longest wait for a connection and for an answer. ``ca_file`` holds certificates (PEM) to
    trust beside the system's. Raises ValueError for a login that would cross a network unencrypted.
    """

    host: str
    port: int = 587
    security: Security = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = 60.0
    ca_file: Path | None = None

    def __post_init__(self) -> None:
        if self.username and self.security == "none" and not is_this_machine(self.host):
            raise ValueError(f"a login to {self.host} without TLS would show the password to the network")


def trusted(server: Server) -> ssl.SSLContext:
    """What certificates are checked with. Raises NotAllowed when `smtp.ca_file` holds none."""
    # To load the system's certificates takes a while: not where nobody asks for them.
    is_asked = server.security != "none"
    context = ssl.create_default_context() if is_asked else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if server.ca_file:
        try:
            context.load_verify_locations(server.ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise NotAllowed(f"{server.ca_file}: no certificates in PEM there; mend `smtp.ca_file`") from error
    return context


def connect(server: Server, context: ssl.SSLContext) -> smtplib.SMTP:
    """Connect, encrypt and log in. Raises Lost and NotAllowed; neither says the password."""
    place = f"{server.host}:{server.port}"
    try:
        return _opened(server, context)
    except ssl.SSLCertVerificationError as error:
        why = error.verify_message or error
        raise NotAllowed(
            f"{place}: the certificate does not hold: {why}; mend `smtp.host` or set `smtp.ca_file`"
        ) from error
    except ssl.SSLEOFError as error:
        raise Lost(f"{place}: the connection was lost while it was encrypted") from error
    except ssl.SSLError as error:
        raise NotAllowed(f"{place}: no TLS there ({error.reason}); mend `smtp.security` or `smtp.port`") from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotAllowed(f"{place}: {error} Mend `smtp.security`, `smtp.port` or `smtp.username`.") from error
    except smtplib.SMTPResponseException as error:
        said = f"{error.smtp_code} {_decoded(error.smtp_error)}"
        if 400 <= error.smtp_code < 500:
            raise Lost(f"{place}: {said}") from error
        raise NotAllowed(f"{place}: {said}; mend `smtp.username` and NEWSLETTER_SMTP_PASSWORD") from error
    except smtplib.SMTPServerDisconnected as error:
        raise Lost(f"{place}: {error}") from error
    except smtplib.SMTPException as error:
        raise NotAllowed(f"{place}: {error} Mend `smtp.username`, or leave it empty for no login.") from error
    except OSError as error:
        raise Lost(f"{place}: {error.strerror or error}") from error
    except UnicodeEncodeError:
        # The error holds the password, and smtplib speaks ASCII alone here.
        raise NotAllowed(f"{place}: `smtp.username` and NEWSLETTER_SMTP_PASSWORD must be plain ASCII") from None


def _opened(server: Server, context: ssl.SSLContext) -> smtplib.SMTP:
    with contextlib.ExitStack() as on_failure:
        if server.security == "tls":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(
                server.host, server.port, our_name(), timeout=server.timeout_seconds, context=context
            )
        else:
            smtp = smtplib.SMTP(server.host, server.port, our_name(), timeout=server.timeout_seconds)
        on_failure.callback(smtp.close)
        if smtp.sock:
            # Else the last packet of a message waits until the ones before it are confirmed.
            smtp.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        smtp.ehlo_or_helo_if_needed()
        if server.security == "starttls":
            smtp.starttls(context=context)
            smtp.ehlo_or_helo_if_needed()
        if server.username:
            smtp.login(server.username, server.password)
        on_failure.pop_all()
        return smtp


@functools.cache
def our_name() -> str:
    """How we greet: our name in the DNS, or an address where we have none (RFC 5321, 4.1.4). Looking it up is slow."""
    name = socket.getfqdn()
    return name if "." in name and name.isascii() else "[127.0.0.1]"


def _decoded(text: bytes | str) -> str:
    return " ".join((text.decode("utf-8", "replace") if isinstance(text, bytes) else text).split())
