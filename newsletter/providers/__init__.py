"""Who carries mail: one file per provider, all behind one small protocol, all held to one contract test.

A provider takes a few messages and says of each what became of it. It never retries what it was answered, never keeps
state and never decides: that is the ledger's.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from newsletter import problems
from newsletter.masking import mask_addresses
from newsletter.values import Message


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took this message. ``ref`` is its own name for it, if it gave one."""

    key: str
    ref: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will never take this message for this reader; the others are not concerned."""

    key: str
    why: str


@dataclass(frozen=True, slots=True)
class TryLater:
    """The provider did not take this message now and said so: nobody has it. ``after`` is its wish in seconds."""

    key: str
    why: str
    after: float = 0.0


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The message left, and no answer came: it may have been taken."""

    key: str
    why: str


Outcome = Accepted | Refused | TryLater | InDoubt


class NotAllowed(problems.Stopped):
    """The provider does not accept us at all (key, login, sender). Nothing was taken; the text says the mend.

    It may repeat what the provider said, which may name a reader: addresses in it are masked.
    """

    def __init__(self, why: str) -> None:
        super().__init__(mask_addresses(why))


class Unreachable(problems.TryLater):
    """The provider cannot be reached at all just now: no connection is to be had. Nothing was taken."""


class Provider(Protocol):
    """Carries messages. ``batch`` is how many messages one call takes, and so how many a kill can leave in doubt."""

    @property
    def name(self) -> str:
        """The file of this folder."""
        ...

    @property
    def batch(self) -> int:
        """Most messages of one call."""
        ...

    @property
    def repeats_safely(self) -> bool:
        """Whether a message that is handed over again still reaches its reader once: then nothing is ever in doubt."""
        ...

    def hand_over(self, messages: Sequence[Message]) -> Iterator[Outcome]:
        """Hand over up to ``batch`` messages; yield one outcome for each, as soon as it is known.

        Raises NotAllowed when the provider does not accept us, and Unreachable when nobody answers; messages without
        an outcome were not taken then.
        """
        ...


More = Callable[[int], Sequence[Message]]
"""Asks for up to so many more messages, at least one. They may leave when it returns; no message: there is none now."""


@runtime_checkable
class Streaming(Protocol):
    """A provider that hands over several messages at a time, each for itself: it asks for more as places get free."""

    def stream(self, more: More) -> Iterator[Outcome]:
        """Hand over what ``more`` gives until it gives nothing and every message has its outcome.

        At most ``batch`` messages are without an outcome at any time. Raises as `Provider.hand_over` does, after every
        outcome that it still could learn.
        """
        ...


def stream(provider: Provider, more: More) -> Iterator[Outcome]:
    """Hand over what ``more`` gives, by any provider: as places get free, or call after call."""
    if isinstance(provider, Streaming):
        yield from provider.stream(more)
        return
    while messages := more(provider.batch):
        missing = {message.key for message in messages}
        for outcome in provider.hand_over(messages):
            missing.discard(outcome.key)
            yield outcome
        yield from (InDoubt(key, "the provider gave no answer for this message") for key in missing)


def names() -> tuple[str, ...]:
    """Names of all providers: the files of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> object:
    """The module of a provider. Raises KeyError, with the name, for one that has no file."""
    if name not in names():
        raise KeyError(name)
    return importlib.import_module(f"{__name__}.{name}")
