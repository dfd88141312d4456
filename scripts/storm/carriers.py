"""Providers that fail in every way while they are stormy, and keep their own count of who got which mail, and when."""

from __future__ import annotations

import datetime as dt
import email
import email.policy
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from scripts.storm.clock import Clock
from scripts.storm.luck import Luck
from tests.newsletter import fake_sendgrid
from tests.newsletter.fake_sendgrid import KEY, Behaviour, FakeSendGrid, Handler
from tests.newsletter.mailserver import CUT, DROP, TAKE_AND_DROP, TAKE_AND_WAIT, Mail, MailServer

REFUSED = frozenset({"nobody@example.com", "no-mailbox@example.com"})
"""Whom the providers refuse for good."""

HANG_SECONDS = 4.0
"""How long a provider that took a mail can say nothing: longer than anybody waits."""

_LINK = re.compile(r"https?://localhost:\d+(/[cpufda]/[A-Za-z0-9._-]+(?:/\d+)?)")


@dataclass(frozen=True, slots=True)
class Taken:
    """A mail that a provider took: whose it was, when (by the storm's clock), and the paths of the links in it."""

    key: str
    address: str
    at: dt.datetime
    links: tuple[str, ...]

    @property
    def is_letter(self) -> bool:
        """Whether it is no issue."""
        return self.key.startswith("letter-")


class Log:
    """Every mail that was taken. ``heard`` is told of each."""

    def __init__(self, clock: Clock, heard: Callable[[Taken], None]) -> None:
        self._clock, self._heard = clock, heard
        self._lock = threading.Lock()
        self._mails: list[Taken] = []
        self._counts: dict[str, int] = {}

    def take(self, key: str, address: str, text: str) -> None:
        """Count a mail."""
        mail = Taken(key, address.lower(), self._clock.now(), tuple(dict.fromkeys(_LINK.findall(text))))
        with self._lock:
            self._mails.append(mail)
            self._counts[key] = self._counts.get(key, 0) + 1
        self._heard(mail)

    def has(self, key: str) -> bool:
        """Whether a delivery's mail was taken."""
        with self._lock:
            return key in self._counts

    def all(self) -> list[Taken]:
        """All of them, in their order."""
        with self._lock:
            return list(self._mails)


class Carrier(Protocol):
    """A provider of the storm."""

    reports: bool
    """Whether it reports what became of mails."""
    asked: int
    """How often it was asked to take something."""
    failed: int
    """How often it did not do that well."""
    is_calm: bool

    @property
    def config(self) -> str:
        """What it needs in newsletter.toml, after `[delivery]`."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What it needs in the environment."""
        ...

    def close(self) -> None:
        """End."""
        ...


class StormySendGrid(FakeSendGrid):
    """SendGrid's API, which says 429 and 500, tears off before and after it took the mails, and hangs."""

    reports = True

    def __init__(self, log: Log, luck: Luck) -> None:
        super().__init__(refused=REFUSED, script=iter(lambda: self._behave, None))
        self._log, self._luck = log, luck
        self.is_calm, self.asked, self.failed = False, 0, 0
        self.__enter__()

    @property
    def config(self) -> str:
        """Nothing but its name."""
        return 'provider = "sendgrid"\n'

    @property
    def environment(self) -> Mapping[str, str]:
        """Where it is, and the key."""
        return {"SENDGRID_HOST": self.host, "SENDGRID_API_KEY": KEY}

    def take(self, payload: dict[str, Any]) -> None:
        """Count the mails of a request; their text as the readers get it."""
        text = next(part["value"] for part in payload["content"] if part["type"] == "text/plain")
        for row in payload["personalizations"]:
            filled = text
            for tag, value in row.get("substitutions", {}).items():
                filled = filled.replace(tag, value)
            self._log.take(row["custom_args"]["key"], row["to"][0]["email"], filled)

    def _behave(self, service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
        self.payloads.clear()
        self.asked += 1
        behaviour = fake_sendgrid.answer if self.is_calm else self._luck.of(SENDGRID)
        self.failed += behaviour is not fake_sendgrid.answer
        behaviour(service, handler, payload)


def too_large(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
    """Refuse the request as a whole, but for that of a single mail."""
    if len(payload["personalizations"]) > 1:
        fake_sendgrid.status(413, "Payload too large")(service, handler, payload)
    else:
        fake_sendgrid.answer(service, handler, payload)


def slowly(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
    """Take the mails in the middle of a pause: a kill can come before and after."""
    time.sleep(0.4)
    service.take(payload)
    time.sleep(0.4)
    fake_sendgrid.respond(handler, 202, X_Message_Id="made-here")


def hang(service: FakeSendGrid, handler: Handler, payload: dict[str, Any]) -> None:
    """Take the mails and say nothing."""
    service.take(payload)
    service.stopping.wait(HANG_SECONDS)
    handler.close_connection = True


SENDGRID: dict[Behaviour, float] = {
    fake_sendgrid.answer: 50,
    slowly: 12,
    fake_sendgrid.status(429, "slow down", Retry_After="30"): 6,
    fake_sendgrid.status(500, "internal error"): 5,
    fake_sendgrid.status(503, "unavailable"): 4,
    too_large: 4,
    fake_sendgrid.reset(takes=False): 5,
    fake_sendgrid.reset(takes=True): 5,
    fake_sendgrid.status(504, "gateway timeout"): 2,
    fake_sendgrid.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n<html></html>"): 2,
    hang: 3,
    fake_sendgrid.status(401, "The provided authorization grant is invalid, expired, or revoked"): 2,
}


class StormyMailServer(MailServer):
    """A mail server that says "not now", drops connections at every command, and hangs."""

    reports = False

    def __init__(self, log: Log, luck: Luck) -> None:
        self._log, self._luck = log, luck
        self.is_calm, self.asked, self.failed = False, 0, 0
        super().__init__()

    @property
    def config(self) -> str:
        """The key in the envelope tells the deliveries apart."""
        return (
            'provider = "smtp"\n[smtp]\nhost = "127.0.0.1"\nsecurity = "none"\nconnections = 4\n'
            f'port = {self.port}\ntimeout_seconds = 0.5\nreturn_path = "bounces+{{key}}@digest.test"\n'
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """Nothing."""
        return {}

    def answer(self, command: str, recipient: str, usual: str) -> str:
        """The usual, or what a bad day brings."""
        self.asked += command == "END"
        self.commands.clear()
        if command == "RCPT" and recipient in REFUSED:
            return "550 5.1.1 no such user"
        moods = {} if self.is_calm or usual[0] not in "23" else SMTP.get(command, {})
        found = self._luck.of({usual: 100.0, **moods})
        self.failed += found != usual
        return found

    def take(self, mail: Mail) -> int:
        """Count a mail."""
        key = mail.sender.removeprefix("bounces+").partition("@")[0]
        message = email.message_from_bytes(mail.data, policy=email.policy.default)
        text = message.get_body(("plain",))
        self._log.take(key, mail.recipient, text.get_content() if text else "")
        return 1

    def wait(self) -> None:
        """Say nothing for longer than anybody waits."""
        self._ended.wait(HANG_SECONDS)


SMTP: Mapping[str, Mapping[str, float]] = {
    "GREETING": {DROP: 3, "421 4.3.2 too busy": 3},
    "MAIL": {"451 4.3.0 try later": 2, DROP: 1},
    "RCPT": {"450 4.2.0 greylisted": 3, DROP: 1},
    "DATA": {"451 4.3.0 try later": 2, CUT: 2, DROP: 1},
    "END": {"452 4.3.1 no room": 3, DROP: 3, TAKE_AND_DROP: 4, TAKE_AND_WAIT: 0.5},
}

CARRIERS: dict[str, Callable[[Log, Luck], Carrier]] = {"sendgrid": StormySendGrid, "smtp": StormyMailServer}
"""By the name of the provider."""
