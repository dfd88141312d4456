"""What stands at the other end of a sending that is killed again and again: it counts what it takes."""

from __future__ import annotations

import contextlib
import itertools
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from tests.newsletter.counting import BATCH, CountingServer
from tests.newsletter.fake_sendgrid import KEY, FakeSendGrid, Handler, respond
from tests.newsletter.mailserver import MailServer
from tests.newsletter.makers import DAY


class Server(Protocol):
    """What a peer starts, and ends."""

    def close(self) -> None:
        """End."""
        ...


S = TypeVar("S", bound=Server)


class Peer(ABC, Generic[S]):
    """A provider on this machine, with a count of its own. ``server`` is there from `start` to `close`.

    ``command`` are module and words that run `newsletter` against it, ``config`` what it needs in newsletter.toml, and
    ``most_in_doubt`` how many deliveries a kill may leave in doubt.
    """

    command: Sequence[str] = ("newsletter",)
    config: str = ""
    most_in_doubt: int

    def __init__(self) -> None:
        self.server: S | None = None

    @abstractmethod
    def open(self) -> S:
        """A new server, which has counted nothing yet."""

    @property
    @abstractmethod
    def environment(self) -> Mapping[str, str]:
        """What it needs in the environment: where it is, and secrets."""

    @abstractmethod
    def taken(self) -> Counter[str]:
        """How often it took a message, by the reader's address."""

    def reports(self) -> list[dict[str, object]]:
        """What it reports afterwards, as `newsletter events import` reads it; nothing from one that does not."""
        return []

    def start(self) -> None:
        """Begin to count from nothing."""
        self.close()
        self.server = self.open()

    def close(self) -> None:
        """End."""
        if self.server:
            self.server.close()
            self.server = None


class CountingPeer(Peer[CountingServer]):
    """The loopback provider of the tests, which takes 50 messages a call. ``delay``: see `CountingServer`."""

    command = ("tests.newsletter.counting",)
    most_in_doubt = BATCH

    def __init__(self, delay: float | None = 0.005) -> None:
        super().__init__()
        self.delay = delay

    def open(self) -> CountingServer:
        """A new server."""
        server = CountingServer()
        server.delay = self.delay
        return server

    @property
    def environment(self) -> Mapping[str, str]:
        """Where it is."""
        return {"COUNTING_URL": self.server.place if self.server else ""}

    def taken(self) -> Counter[str]:
        """What the server counted."""
        return Counter(self.server.taken) if self.server else Counter()


class SmtpPeer(Peer[MailServer]):
    """A mail server on loopback, for the product's own provider with four connections."""

    config = (
        '[delivery]\nprovider = "smtp"\nfrom_address = "digest@digest.test"\npostal_address = "1 Street"\n'
        '[web]\nbase_url = "http://localhost:8000"\n[smtp]\nhost = "127.0.0.1"\nsecurity = "none"\nconnections = 4\n'
    )
    most_in_doubt = 4

    def open(self) -> MailServer:
        """A new server."""
        return MailServer(delay=0.005)

    @property
    def environment(self) -> Mapping[str, str]:
        """Where it is."""
        return {"NEWSLETTER_SMTP__PORT": str(self.server.port if self.server else 1)}

    def taken(self) -> Counter[str]:
        """What the server took."""
        return Counter(self.server.recipients) if self.server else Counter()


class SendGridPeer(Peer[FakeSendGrid]):
    """SendGrid's API on loopback, a thousand readers a request, slow enough to be killed at every moment of one."""

    config = (
        '[delivery]\nprovider = "sendgrid"\nfrom_address = "digest@digest.test"\npostal_address = "1 Street"\n'
        '[web]\nbase_url = "http://localhost:8000"\n'
    )
    most_in_doubt = 1000

    def open(self) -> FakeSendGrid:
        """A new server."""
        return FakeSendGrid(script=itertools.repeat(_slowly)).__enter__()

    @property
    def environment(self) -> Mapping[str, str]:
        """Where it is, and the key."""
        return {"SENDGRID_HOST": self.server.host if self.server else "", "SENDGRID_API_KEY": KEY}

    def taken(self) -> Counter[str]:
        """What the server took."""
        return Counter(mail.to for mail in self.server.mails) if self.server else Counter()

    def reports(self) -> list[dict[str, object]]:
        """That each mail that it took arrived."""
        payloads = self.server.payloads if self.server else []
        rows = [row for payload in payloads for row in payload["personalizations"]]
        known = {row["custom_args"]["key"]: row["custom_args"] for row in rows}
        taken = self.server.accepted if self.server else Counter[str]()
        moment = int(DAY.timestamp())
        return [{**known[key], "event": "delivered", "sg_event_id": key, "timestamp": moment} for key in taken]


def _slowly(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
    time.sleep(0.15)
    service.take(payload)
    time.sleep(0.15)
    with contextlib.suppress(OSError):  # Whoever asked was killed.
        respond(handler, 202, X_Message_Id="made-here")


PEERS: dict[str, Callable[[], Peer[Any]]] = {"counting": CountingPeer, "sendgrid": SendGridPeer, "smtp": SmtpPeer}
"""By the name of the provider."""
