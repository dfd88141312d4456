"""The provider that hands messages to a mail server by SMTP: a few connections, each used for many messages.

`dialogue` knows what is said and what the answers mean, `connecting` makes connections, `signing` signs, and `crew`
holds several dialogues at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from newsletter.messages import BadHeader, address_in, to_bytes, wire_address
from newsletter.providers import More, Outcome, Refused, Unreachable
from newsletter.providers.smtp.connecting import Security, Server
from newsletter.providers.smtp.crew import Crew
from newsletter.providers.smtp.dialogue import Parcel
from newsletter.providers.smtp.signing import BadKey, Signature
from newsletter.values import Message

__all__ = ["BadKey", "Security", "Server", "Signature", "Smtp"]

LONGEST_LINGER_SECONDS = 0.1
"""Whoever gives more pays with a transaction: what comes within the time that one takes shares the next."""

_NOT_IN_A_COMMAND = re.compile(r"[\x00-\x20\x7f<>]")


@dataclass(frozen=True, slots=True)
class Smtp:
    """Hands over by ``batch`` connections, a message at a time on each.

    ``return_path`` is the sender of the envelope, where bounces go; ``{key}`` in it stands for the delivery's key.
    Empty, it is the address in From.
    """

    server: Server
    batch: int = 4
    messages_per_connection: int = 100
    return_path: str = ""
    signature: Signature | None = None
    name: str = "smtp"
    repeats_safely: bool = False

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Hand over these messages; the connections end with the last outcome."""
        left = list(reversed(messages))
        return self.stream(lambda limit: [left.pop() for _ in range(min(limit, len(left)))])

    def stream(self, more: More) -> Iterator[Outcome]:
        """Hand over what ``more`` gives, as connections get free; they end with the last outcome.

        Raises NotAllowed (login, certificate, sender), Unreachable, and what ``more`` raised.
        """
        crew = Crew(self.server, self.parcel, self.batch, self.messages_per_connection)
        stop = list[Exception]()
        try:
            while True:
                began = time.monotonic()
                if crew.idle and not stop:
                    try:
                        messages = more(crew.idle)
                    except Exception as error:  # whoever gave no more still wants to know of what they gave before
                        stop.append(error)
                    else:
                        crew.take(messages)
                if not crew.in_flight:
                    break
                for result in crew.results(min(time.monotonic() - began, LONGEST_LINGER_SECONDS)):
                    if isinstance(result, Exception):
                        stop.append(result)
                    else:
                        yield result
        finally:
            crew.end()
        if stop:
            # What was wrong first says more than what came of it, but for how to mend it.
            raise min(stop, key=lambda error: isinstance(error, Unreachable))

    def parcel(self, message: Message) -> Parcel | Refused:
        """The message as it leaves, signed when there is a key, with its envelope; or why it cannot leave."""
        try:
            data = to_bytes(message)
            sender, recipient = self.envelope_sender(message), wire_address(message.to)
        except BadHeader as error:
            return Refused(message.key, str(error))
        if _NOT_IN_A_COMMAND.search(sender + recipient):
            return Refused(message.key, "the address holds a character that no address may have")
        return Parcel(message.key, sender, recipient, self.signature.sign(data) if self.signature else data)

    def envelope_sender(self, message: Message) -> str:
        """Where a bounce of this message goes."""
        if not self.return_path:
            return wire_address(address_in(message.header("From")))
        return wire_address(self.return_path.replace("{key}", re.sub(r"[^A-Za-z0-9._-]", "_", message.key)))
