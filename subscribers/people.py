"""People: joining, confirming, leaving, coming back, being forgotten. One function per thing that can happen.

=============  ====================================================================================
state          what brings a person there
=============  ====================================================================================
pending        the form; nobody has shown yet that the mailbox is theirs
active         their own confirmation, or an owner who holds their consent
paused         active, and ``paused_until`` lies ahead; ends by itself
unsubscribed   their own act, or a complaint; ``state_reason`` says which
=============  ====================================================================================

Nothing here commits: the caller's transaction decides. ``now`` is aware.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, exists, false, func, literal, select, union
from sqlalchemy.orm import Session
from sqlmodel import col

from subscribers import consent, letters, preferences, suppression
from subscribers.addresses import Address, InvalidAddress, has_control_characters, parse
from subscribers.preferences import DEFAULTS, Preferences
from subscribers.suppression import BARRING, LIFTED_BY_PERSON, Lifter
from subscribers.tables import (
    NAME_LENGTH,
    REASON_LENGTH,
    AddressChange,
    Consent,
    Feedback,
    Kind,
    State,
    Subscriber,
    Suppression,
    WaitingLetter,
)
from subscribers.tokens import LIFETIMES, Purpose

PENDING_KEPT = LIFETIMES[Purpose.CONFIRM]
"""How long who did not confirm is kept: as long as the link to it works."""

LEFT_KEPT = LIFETIMES[Purpose.UNDO]
"""How long who left is kept: as long as they can take it back."""


class InvalidName(ValueError):
    """No name that could stand in a header; the message says why in one line without repeating it."""


class AddressTaken(ValueError):
    """Another subscriber has that address."""


class Barred(ValueError):
    """That address gets no mail of any kind until the owner lifts what stands against it."""


class Outcome(StrEnum):
    """What came of adding someone."""

    ADDED = "added"
    KNOWN = "known"
    LEFT = "left"
    BARRED = "barred"


@dataclass(frozen=True, slots=True)
class Addition:
    """What came of adding someone, and the person's row where there is one.

    ``ADDED``: a new row. ``KNOWN``: was there, pending or active. ``LEFT``: left or had everything erased;
    only their own confirmation brings them back, and one may be asked for. ``BARRED``: gets no mail of any
    kind.
    """

    outcome: Outcome
    subscriber: Subscriber | None


def add(
    session: Session,
    address: str,
    *,
    now: dt.datetime,
    how: str,
    consent_text: str,
    name: str = "",
    preferences: Preferences = DEFAULTS,
    active: bool = False,
    network: str | None = None,
) -> Addition:
    """Take someone in: pending from the form, ``active`` from an owner who holds their consent.

    ``how`` and ``consent_text`` go into the consent record (see :func:`subscribers.consent.record`). Who is
    known keeps name and preferences, and strangers who type the address again leave no trace. Who left stays
    as they are: the form makes at most a pending row for them, an owner makes none. Raises InvalidAddress and
    InvalidName.
    """
    parsed, name = parse(address), clean_name(name)
    identity_hash = suppression.hasher(session)(parsed.identity)
    kinds = suppression.kinds_of_hash(session, identity_hash)
    known = _with_identity(session, parsed.identity)
    outcome = outcome_of(kinds, None if known is None else State(known.state))
    if outcome is Outcome.BARRED or (outcome is Outcome.LEFT and (active or known is not None)):
        return Addition(outcome, known)
    activates = active and (known is None or known.state == State.PENDING)
    if known is not None and not activates:
        return Addition(outcome, known)
    subscriber = known or _insert(session, parsed, identity_hash, name, preferences, now)
    consent.record(session, subscriber, now=now, text=consent_text, how=how[:REASON_LENGTH], network=network)
    if activates:
        _activate(session, subscriber, now=now, reason=how)
    return Addition(outcome, subscriber)


def outcome_of(kinds: frozenset[Kind], state: State | None) -> Outcome:
    """What comes of adding an address with those suppressions and that row's state; None for no row."""
    if kinds & BARRING:
        return Outcome.BARRED
    if kinds or state is State.UNSUBSCRIBED:
        return Outcome.LEFT
    return Outcome.ADDED if state is None else Outcome.KNOWN


def confirm(
    session: Session, subscriber_id: int, *, now: dt.datetime, consent_text: str, network: str | None = None
) -> Subscriber:
    """The second half of double opt-in: the person showed that the mailbox is theirs, and is active from now.

    It brings back who left or was erased, and ends a pause from before. Doing it twice changes nothing. Raises
    LookupError when the person is no longer there, Barred when the owner has to lift something first.
    """
    subscriber = get(session, subscriber_id)
    if subscriber.state == State.ACTIVE:
        return subscriber
    _refuse_barred(session, subscriber.identity_hash)
    suppression.lift(session, subscriber.identity_hash, LIFTED_BY_PERSON, by=Lifter.PERSON)
    consent.record(session, subscriber, now=now, text=consent_text, how="confirmed", network=network)
    subscriber.paused_until = None
    _activate(session, subscriber, now=now, reason="confirmed")
    return subscriber


def unsubscribe(session: Session, subscriber_id: int, *, now: dt.datetime, reason: str = "link") -> bool:
    """Let someone go at once. ``reason`` says by what (``link``, ``one-click``, ``mail``, ``owner`` ...).

    Returns whether they were still there; twice, or for someone who is gone, it is not an error.
    """
    subscriber = session.get(Subscriber, subscriber_id)
    if subscriber is None:
        return False
    suppression.put(session, subscriber.identity_hash, Kind.UNSUBSCRIBED, now=now, note=reason)
    if subscriber.state == State.UNSUBSCRIBED:
        return False
    _leave(session, subscriber, now=now, reason=reason)
    return True


def undo(session: Session, subscriber_id: int, *, now: dt.datetime) -> Subscriber:
    """Take an unsubscription back: active again for who had once been active, else pending again.

    Raises LookupError when the person is no longer there, Barred when the owner has to lift something first.
    """
    subscriber = get(session, subscriber_id)
    if subscriber.state != State.UNSUBSCRIBED:
        return subscriber
    _refuse_barred(session, subscriber.identity_hash)
    suppression.lift(session, subscriber.identity_hash, LIFTED_BY_PERSON, by=Lifter.PERSON)
    state = State.PENDING if subscriber.confirmed_at is None else State.ACTIVE
    subscriber.state, subscriber.state_reason, subscriber.left_at = state.value, "undo", None
    session.flush()
    return subscriber


def erase(session: Session, subscriber_id: int, *, now: dt.datetime) -> bool:
    """Forget someone: the row and all that hangs on it; a keyed hash stays, so that no import brings them back.

    Returns whether there was someone to forget. The id is never given to anyone else.
    """
    subscriber = session.get(Subscriber, subscriber_id)
    if subscriber is None:
        return False
    suppression.put(session, subscriber.identity_hash, Kind.ERASED, now=now)
    forget(session, subscriber)
    return True


def forget(session: Session, subscriber: Subscriber) -> None:
    """Delete a person's row, all that hangs on it, and every letter to them. What is suppressed stays so."""
    for identity_hash in _own_hashes(session, subscriber):
        letters.forget(session, identity_hash)
    _drop(session, subscriber.id)


def forget_some(session: Session, *, now: dt.datetime, limit: int) -> int:
    """Forget up to so many of those whose time is over: who left 30 days ago, and who never confirmed for 7 days.

    Of who left a keyed hash stays, so that no import brings them back. Whoever asked for a letter within the last days
    is waited for, as a link in it may still bring them in. Returns how many were forgotten.
    """
    waited_for = exists(literal(1)).where(
        col(WaitingLetter.identity_hash) == col(Subscriber.identity_hash),
        col(WaitingLetter.posted_at) > now - LIFETIMES[Purpose.CONFIRM],
    )
    left = col(Subscriber.state) == State.UNSUBSCRIBED.value, col(Subscriber.left_at) <= now - LEFT_KEPT
    never_in = col(Subscriber.state) == State.PENDING.value, col(Subscriber.created_at) <= now - PENDING_KEPT
    found = list[Subscriber]()
    for is_over in (left, never_in):
        over = select(Subscriber).where(*is_over, ~waited_for).order_by(col(Subscriber.id))
        found += session.scalars(over.limit(limit - len(found)))
    for subscriber in found:
        if subscriber.state == State.UNSUBSCRIBED:
            # Whoever complained has this one too: once the owner lifts the complaint, they still have left.
            suppression.put(session, subscriber.identity_hash, Kind.UNSUBSCRIBED, now=subscriber.left_at or now)
        forget(session, subscriber)
    return len(found)


def suppress(session: Session, address: str, kind: Kind, *, now: dt.datetime, note: str = "") -> bool:
    """Stop all mail to an address, whether or not it is anyone's here. Returns whether that is new.

    A complaint is a no: the person's row is unsubscribed as well, so lifting it lets them ask again and mails
    nobody by itself. A hard bounce and the owner's word leave the row as it is. ``note`` must hold no
    address: it outlives the person. Raises InvalidAddress.
    """
    identity = parse(address).identity
    new = suppression.put(session, suppression.hasher(session)(identity), kind, now=now, note=note)
    subscriber = _with_identity(session, identity)
    if subscriber is not None and kind in _NO and subscriber.state != State.UNSUBSCRIBED:
        _leave(session, subscriber, now=now, reason=kind.value)
    return new


def suppress_subscriber(session: Session, subscriber_id: int, kind: Kind, *, now: dt.datetime, note: str = "") -> bool:
    """The same by a subscriber's id, as a provider's report names it. For someone who is gone: False."""
    subscriber = session.get(Subscriber, subscriber_id)
    return subscriber is not None and suppress(session, subscriber.address, kind, now=now, note=note)


def lift(session: Session, address: str, kind: Kind, *, by: Lifter) -> bool:
    """Lift one kind of suppression, as the person or as the owner. Returns whether there was one.

    Raises InvalidAddress, and NotAllowed when it is not theirs to lift.
    """
    identity_hash = suppression.hasher(session)(parse(address).identity)
    return bool(suppression.lift(session, identity_hash, [kind], by=by))


def suppressions(session: Session, address: str) -> frozenset[Kind]:
    """Why an address is not mailed; empty when nothing is known against it. Raises InvalidAddress."""
    return suppression.kinds_of(session, parse(address).identity)


def suppression_records(session: Session, address: str) -> Sequence[Suppression]:
    """What stands against an address, oldest first, with moment and note. Raises InvalidAddress."""
    hasher = suppression.find_hasher(session)
    if hasher is None:
        return ()
    query = select(Suppression).where(col(Suppression.identity_hash) == hasher(parse(address).identity))
    return session.scalars(query.order_by(col(Suppression.at), col(Suppression.kind))).all()


def may_get_letters(session: Session, address: str) -> bool:
    """Whether a letter (a confirmation, say) may go to an address at all. Raises InvalidAddress."""
    return not suppressions(session, address) & BARRING


def change_address(session: Session, subscriber_id: int, address: str, *, now: dt.datetime, consent_text: str) -> None:
    """Move a person to another address, after they confirmed at it: that is a double opt-in of the new one.

    A record that only waited for a confirmation there, or had left, was the same mailbox's: it gives way. Otherwise
    anyone could block an address by typing it into the form. Raises LookupError, InvalidAddress, AddressTaken when
    someone gets mail there already, Barred when the owner has to lift something first.
    """
    subscriber, parsed = get(session, subscriber_id), parse(address)
    other = _with_identity(session, parsed.identity)
    if other is not None and other.id != subscriber_id and other.state == State.ACTIVE:
        raise AddressTaken("someone else has that address")
    identity_hash = suppression.hasher(session)(parsed.identity)
    _refuse_barred(session, identity_hash)
    if other is not None and other.id != subscriber_id:
        _drop(session, other.id)
    if subscriber.state == State.ACTIVE:
        suppression.lift(session, identity_hash, LIFTED_BY_PERSON, by=Lifter.PERSON)
    subscriber.address, subscriber.identity, subscriber.identity_hash = (
        parsed.address,
        parsed.identity,
        identity_hash,
    )
    session.execute(delete(AddressChange).where(col(AddressChange.subscriber_id) == subscriber_id))
    session.flush()
    consent.record(session, subscriber, now=now, text=consent_text, how="address changed")


def wish_address(session: Session, subscriber: Subscriber, new: Address, *, now: dt.datetime) -> AddressChange:
    """Keep that a person wants their mail at another address, in place of an earlier wish."""
    session.execute(delete(AddressChange).where(col(AddressChange.subscriber_id) == subscriber.id))
    change = AddressChange(subscriber_id=subscriber.id, address=new.address, at=now)
    session.add(change)
    session.flush()
    return change


def forget_wishes(session: Session, *, now: dt.datetime) -> int:
    """Drop wishes for another address that nobody can confirm any more. Returns how many were dropped."""
    stale = delete(AddressChange).where(col(AddressChange.at) <= now - LIFETIMES[Purpose.ADDRESS])
    return len(session.scalars(stale.returning(col(AddressChange.id))).all())


def get(session: Session, subscriber_id: int) -> Subscriber:
    """The person of that id. Raises LookupError when there is none."""
    subscriber = session.get(Subscriber, subscriber_id)
    if subscriber is None:
        raise LookupError(f"there is no subscriber {subscriber_id}")
    return subscriber


def find(session: Session, address: str) -> Subscriber | None:
    """The person with that address, in whatever spelling. Raises InvalidAddress."""
    return _with_identity(session, parse(address).identity)


def page(
    session: Session,
    *,
    after: int = 0,
    limit: int = 100,
    state: State | None = None,
    now: dt.datetime | None = None,
) -> Sequence[Subscriber]:
    """People in the order of their ids, after id ``after``; the last page is as quick as the first.

    ``state`` is that of the moment ``now``; without ``now`` as stored, so ``PAUSED`` finds nobody: those are active.
    """
    query = select(Subscriber).where(col(Subscriber.id) > after)
    if state is not None:
        stored = State.ACTIVE if state is State.PAUSED and now is not None else state
        query = query.where(col(Subscriber.state) == stored.value)
    if state in (State.ACTIVE, State.PAUSED) and now is not None:
        paused = func.coalesce(col(Subscriber.paused_until) > now, false())
        query = query.where(paused if state is State.PAUSED else ~paused)
    return session.scalars(query.order_by(col(Subscriber.id)).limit(limit)).all()


def state_at(subscriber: Subscriber, now: dt.datetime) -> State:
    """Where a person stands at a moment, a running pause included."""
    state = State(subscriber.state)
    paused = subscriber.paused_until is not None and subscriber.paused_until > now
    return State.PAUSED if state is State.ACTIVE and paused else state


def clean_name(name: str) -> str:
    """A name as it is kept: single spaces. Raises InvalidName for control characters, or when it is long."""
    if has_control_characters(name):
        raise InvalidName("it holds a control character")
    name = " ".join(name.split())
    if len(name) > NAME_LENGTH:
        raise InvalidName(f"it is longer than {NAME_LENGTH} characters")
    return name


_NO = frozenset({Kind.COMPLAINT, Kind.UNSUBSCRIBED, Kind.ERASED})


def _with_identity(session: Session, identity: str) -> Subscriber | None:
    return session.scalar(select(Subscriber).where(col(Subscriber.identity) == identity))


def _own_hashes(session: Session, subscriber: Subscriber) -> set[str]:
    """The hashes of the addresses that a person has, had, or wished for, and that nobody else has now."""
    had = select(col(Consent.address)).where(col(Consent.subscriber_id) == subscriber.id)
    wished = select(col(AddressChange.address)).where(col(AddressChange.subscriber_id) == subscriber.id)
    hasher, found = suppression.hasher(session), {subscriber.identity_hash}
    for address in session.scalars(union(had, wished)):
        # What was an address when it was written may be none by the rules of today; no letter waits for it then.
        with contextlib.suppress(InvalidAddress):
            identity = parse(address).identity
            if _with_identity(session, identity) in (None, subscriber):
                found.add(hasher(identity))
    return found


def _insert(
    session: Session, parsed: Address, identity_hash: str, name: str, wishes: Preferences, now: dt.datetime
) -> Subscriber:
    subscriber = Subscriber(
        identity=parsed.identity,
        identity_hash=identity_hash,
        address=parsed.address,
        name=name,
        state=State.PENDING.value,
        state_reason="not confirmed yet",
        created_at=now,
    )
    preferences.set(session, subscriber, wishes, now=now)
    return subscriber


def _drop(session: Session, subscriber_id: int) -> None:
    """Delete a person's row and all that hangs on it."""
    for owned in (Consent, Feedback, AddressChange):
        session.execute(delete(owned).where(col(owned.subscriber_id) == subscriber_id))
    session.execute(delete(Subscriber).where(col(Subscriber.id) == subscriber_id))


def _activate(session: Session, subscriber: Subscriber, *, now: dt.datetime, reason: str) -> None:
    subscriber.state, subscriber.state_reason, subscriber.left_at = (
        State.ACTIVE.value,
        reason[:REASON_LENGTH],
        None,
    )
    subscriber.confirmed_at = subscriber.confirmed_at or now
    session.flush()


def _leave(session: Session, subscriber: Subscriber, *, now: dt.datetime, reason: str) -> None:
    subscriber.state, subscriber.state_reason = State.UNSUBSCRIBED.value, reason[:REASON_LENGTH]
    subscriber.left_at = now
    session.flush()


def _refuse_barred(session: Session, identity_hash: str) -> None:
    if barred := suppression.kinds_of_hash(session, identity_hash) & BARRING:
        raise Barred(f"no mail goes there ({', '.join(sorted(barred))}); the owner alone can lift that")
