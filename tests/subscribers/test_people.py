"""Facts about joining, leaving and coming back."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from subscribers import consent, feedback, letters, people, preferences, suppression
from subscribers.addresses import parse
from subscribers.people import Addition, AddressTaken, Barred, InvalidName, Outcome
from subscribers.ports import Letter
from subscribers.preferences import Preferences
from subscribers.suppression import BARRING, Lifter, NotAllowed
from subscribers.tables import AddressChange, Consent, Feedback, Kind, State, Subscriber, WaitingLetter
from tests.subscribers.conftest import NOW, added

LATER = NOW + dt.timedelta(days=3)


def form(session: Session, address: str) -> Addition:
    """Someone fills the form."""
    return people.add(session, address, now=LATER, how="form", consent_text="Send me the digest.")


def owner(session: Session, address: str) -> Addition:
    """The owner adds someone whose consent they hold."""
    return people.add(session, address, now=LATER, how="owner", consent_text="They told me.", active=True)


def count(session: Session, table: type[SQLModel]) -> int | None:
    return session.scalar(select(func.count()).select_from(table))


def test_the_form_makes_someone_pending_and_their_confirmation_active(session: Session) -> None:
    addition = form(session, "ann@example.com")
    assert addition.outcome is Outcome.ADDED
    assert addition.subscriber is not None
    assert addition.subscriber.state == State.PENDING
    confirmed = people.confirm(session, addition.subscriber.id, now=LATER, consent_text="Yes")
    assert (confirmed.state, confirmed.confirmed_at) == (State.ACTIVE, LATER)


def test_confirming_twice_changes_nothing(session: Session) -> None:
    subscriber = added(session, "ann@example.com", active=False)
    people.confirm(session, subscriber.id, now=NOW, consent_text="Yes")
    people.confirm(session, subscriber.id, now=LATER, consent_text="Yes")
    assert subscriber.confirmed_at == NOW
    assert count(session, Consent) == 2


def test_confirming_ends_a_pause_from_before(session: Session) -> None:
    """Who comes back asked for mail now."""
    ann = added(session, "ann@example.com")
    preferences.set(session, ann, Preferences(paused_until=LATER + dt.timedelta(days=80)))
    people.unsubscribe(session, ann.id, now=NOW)
    people.confirm(session, ann.id, now=LATER, consent_text="Yes")
    assert (people.state_at(ann, LATER), ann.paused_until) == (State.ACTIVE, None)


def test_who_is_active_keeps_their_pause_when_they_press_an_old_confirmation(session: Session) -> None:
    ann = added(session, "ann@example.com")
    preferences.set(session, ann, Preferences(paused_until=LATER))
    people.confirm(session, ann.id, now=NOW, consent_text="Yes")
    assert people.state_at(ann, NOW) is State.PAUSED


def test_every_spelling_of_an_address_finds_the_same_person(session: Session) -> None:
    ann = added(session, "Ann@B\u00fccher.example.com")
    again = form(session, "ann@xn--bcher-kva.example.com")
    assert (again.outcome, again.subscriber) == (Outcome.KNOWN, ann)
    assert people.find(session, "ANN@bu\u0308cher.example.com") is ann
    assert people.find(session, "bob@example.com") is None


def test_who_is_known_keeps_name_and_preferences_and_gains_no_record(session: Session) -> None:
    added(session, "ann@example.com", Preferences(topics=frozenset({"safety"})))
    again = people.add(session, "ann@example.com", now=LATER, how="form", consent_text="x", name="Mallory")
    assert again.subscriber is not None
    assert (again.subscriber.name, again.subscriber.follows) == ("", "safety")
    assert count(session, Consent) == 1


def test_the_owner_may_activate_who_is_pending(session: Session) -> None:
    added(session, "ann@example.com", active=False)
    addition = owner(session, "ann@example.com")
    assert addition.outcome is Outcome.KNOWN
    assert addition.subscriber is not None
    assert addition.subscriber.state == State.ACTIVE


def test_unsubscribing_twice_is_no_error(session: Session) -> None:
    ann = added(session, "ann@example.com")
    assert people.unsubscribe(session, ann.id, now=NOW, reason="one-click")
    assert not people.unsubscribe(session, ann.id, now=LATER)
    assert (ann.state, ann.state_reason, ann.left_at) == (State.UNSUBSCRIBED, "one-click", NOW)
    assert people.suppressions(session, "ann@example.com") == {Kind.UNSUBSCRIBED}


def test_unsubscribing_who_is_gone_is_no_error(session: Session) -> None:
    assert not people.unsubscribe(session, 4711, now=NOW)


def test_who_left_comes_back_by_confirming_and_by_nothing_else(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.unsubscribe(session, ann.id, now=NOW)
    assert owner(session, "ann@example.com") == Addition(Outcome.LEFT, ann)
    assert form(session, "ann@example.com") == Addition(Outcome.LEFT, ann)
    assert ann.state == State.UNSUBSCRIBED
    people.confirm(session, ann.id, now=LATER, consent_text="Yes")
    assert ann.state == State.ACTIVE
    assert ann.left_at is None
    assert people.suppressions(session, "ann@example.com") == frozenset()


def test_undo_brings_back_what_was_before(session: Session) -> None:
    active, pending = added(session, "a@example.com"), added(session, "p@example.com", active=False)
    for subscriber in (active, pending):
        people.unsubscribe(session, subscriber.id, now=NOW)
        people.undo(session, subscriber.id, now=LATER)
        assert people.suppressions(session, subscriber.address) == frozenset()
        assert subscriber.left_at is None
    assert (active.state, pending.state) == (State.ACTIVE, State.PENDING)


def test_undo_of_nothing_changes_nothing(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.undo(session, ann.id, now=LATER)
    assert (ann.state, ann.state_reason) == (State.ACTIVE, "test")


def test_who_was_erased_leaves_only_a_hash_that_owners_respect(session: Session) -> None:
    ann = added(session, "ann@example.com")
    old_id = ann.id
    assert people.erase(session, ann.id, now=NOW)
    assert not people.erase(session, old_id, now=NOW)
    assert (count(session, Subscriber), count(session, Consent)) == (0, 0)
    assert owner(session, "Ann@example.com") == Addition(Outcome.LEFT, None)
    assert count(session, Subscriber) == 0


def test_nothing_of_who_was_erased_stays_in_any_table(session: Session) -> None:
    """Letters to the addresses they had before, or wished for, are about them too."""
    ann, bob = added(session, "Ann@old.example.com"), added(session, "bob@example.com")
    people.change_address(session, ann.id, "ann@example.com", now=NOW, consent_text="x")
    for someone, new in ((ann, "ann@new.example.com"), (bob, "bob@new.example.com")):
        feedback.give(session, someone.id, 1, True, now=NOW)
        people.wish_address(session, someone, parse(new), now=NOW)
        for address in (someone.address, new):
            letters.post(session, Letter("data", address), now=NOW)
    letters.post(session, Letter("moved", "ann@OLD.example.com"), now=NOW)
    people.erase(session, ann.id, now=NOW)
    assert [count(session, table) for table in (Subscriber, Consent, Feedback, AddressChange)] == [1, 1, 1, 1]
    left = session.scalars(select(WaitingLetter.address)).all()  # type: ignore[call-overload]  # a column to SQLAlchemy
    assert sorted(left) == ["bob@example.com", "bob@new.example.com"]


def test_letters_to_who_has_the_address_of_someone_erased_today_stay(session: Session) -> None:
    ann = added(session, "shared@example.com")
    people.change_address(session, ann.id, "ann@example.com", now=NOW, consent_text="x")
    added(session, "Shared@example.com", active=False)
    letters.post(session, Letter("confirm", "shared@example.com"), now=NOW)
    people.erase(session, ann.id, now=NOW)
    assert letters.counts(session) == {"planned": 1}


def test_who_has_an_address_that_is_none_by_the_rules_of_today_can_be_erased(session: Session) -> None:
    ann = added(session, "ann@example.com")
    consent.record(session, ann, now=NOW, text="x", how="import").address = "ann at home"
    session.flush()
    assert people.erase(session, ann.id, now=NOW)
    assert count(session, Consent) == 0


def test_who_was_erased_can_ask_again_under_a_new_id(session: Session) -> None:
    old_id = added(session, "ann@example.com").id
    people.erase(session, old_id, now=NOW)
    session.commit()
    addition = form(session, "ann@example.com")
    assert addition.outcome is Outcome.LEFT
    assert addition.subscriber is not None
    assert addition.subscriber.id > old_id
    people.confirm(session, addition.subscriber.id, now=LATER, consent_text="Yes")
    assert people.suppressions(session, "ann@example.com") == frozenset()


@pytest.mark.parametrize("kind", sorted(BARRING))
def test_what_the_owner_alone_lifts_bars_every_way_back(session: Session, kind: Kind) -> None:
    ann = added(session, "ann@example.com", active=False)
    people.suppress_subscriber(session, ann.id, kind, now=NOW)
    assert not people.may_get_letters(session, "ANN@example.com")
    assert form(session, "ann@example.com").outcome is Outcome.BARRED
    assert owner(session, "ann@example.com").outcome is Outcome.BARRED
    with pytest.raises(Barred, match=kind):
        people.confirm(session, ann.id, now=LATER, consent_text="Yes")
    people.unsubscribe(session, ann.id, now=LATER)
    with pytest.raises(Barred):
        people.undo(session, ann.id, now=LATER)
    with pytest.raises(NotAllowed):
        people.lift(session, "ann@example.com", kind, by=Lifter.PERSON)
    assert people.lift(session, "ann@example.com", kind, by=Lifter.OWNER)
    assert people.may_get_letters(session, "ann@example.com")


def test_a_complaint_is_a_no_that_outlives_its_lifting(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.suppress(session, "Ann@example.com", Kind.COMPLAINT, now=NOW)
    assert (ann.state, ann.state_reason) == (State.UNSUBSCRIBED, "complaint")
    people.lift(session, "ann@example.com", Kind.COMPLAINT, by=Lifter.OWNER)
    assert ann.state == State.UNSUBSCRIBED


def test_a_bounce_leaves_the_row_as_it_is(session: Session) -> None:
    ann = added(session, "ann@example.com")
    assert people.suppress_subscriber(session, ann.id, Kind.HARD_BOUNCE, now=NOW)
    assert not people.suppress_subscriber(session, ann.id, Kind.HARD_BOUNCE, now=LATER)
    assert ann.state == State.ACTIVE


def test_a_report_on_who_is_gone_changes_nothing(session: Session) -> None:
    assert not people.suppress_subscriber(session, 4711, Kind.COMPLAINT, now=NOW)


def test_an_address_is_suppressed_before_it_is_anyones(session: Session) -> None:
    assert people.suppress(session, "bob@example.com", Kind.OWNER, now=NOW)
    assert form(session, "Bob@Example.com") == Addition(Outcome.BARRED, None)
    assert count(session, Subscriber) == 0


def test_erasing_does_not_lift_a_complaint(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.suppress_subscriber(session, ann.id, Kind.COMPLAINT, now=NOW)
    people.erase(session, ann.id, now=NOW)
    assert people.suppressions(session, "ann@example.com") == {Kind.COMPLAINT, Kind.ERASED}
    assert form(session, "ann@example.com").outcome is Outcome.BARRED


def test_an_address_changes_with_its_identity_and_proof(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.change_address(session, ann.id, "Ann@New.example.com", now=LATER, consent_text="This is me.")
    assert (ann.address, ann.identity) == ("Ann@new.example.com", "ann@new.example.com")
    assert ann.identity_hash == suppression.hasher(session)("ann@new.example.com")
    assert consent.of(session, ann.id)[-1].address == "Ann@new.example.com"
    assert people.find(session, "ann@example.com") is None


def test_an_address_does_not_change_to_one_that_is_taken_or_barred(session: Session) -> None:
    ann = added(session, "ann@example.com")
    added(session, "bob@example.com")
    people.suppress(session, "eve@example.com", Kind.OWNER, now=NOW)
    with pytest.raises(AddressTaken):
        people.change_address(session, ann.id, "BOB@example.com", now=LATER, consent_text="x")
    with pytest.raises(Barred):
        people.change_address(session, ann.id, "eve@example.com", now=LATER, consent_text="x")
    assert ann.identity == "ann@example.com"


@pytest.mark.parametrize("how", ["only asked", "left"])
def test_a_record_that_gets_no_mail_gives_way_to_who_confirms_at_its_address(how: str, session: Session) -> None:
    """Else anyone could block an address by typing it into the form."""
    ann = added(session, "ann@example.com")
    if how == "left":
        people.unsubscribe(session, added(session, "new@example.com").id, now=NOW)
    else:
        form(session, "new@example.com")
    people.change_address(session, ann.id, "new@example.com", now=LATER, consent_text="x")
    session.expire_all()
    found = people.find(session, "new@example.com")
    assert found is not None and found.id == ann.id and count(session, Subscriber) == 1
    assert people.suppressions(session, "new@example.com") == frozenset()


def test_a_wish_for_another_address_replaces_the_one_before_under_a_new_id(session: Session) -> None:
    """The link of the earlier wish names its id, so it must die with it."""
    ann = added(session, "ann@example.com")
    first = people.wish_address(session, ann, parse("One@example.com"), now=NOW).id
    session.commit()
    second = people.wish_address(session, ann, parse("Two@example.com"), now=LATER)
    assert second.id > first
    assert session.scalars(select(AddressChange.address)).all() == ["Two@example.com"]  # type: ignore[call-overload]  # a column to SQLAlchemy
    assert ann.address == "ann@example.com"


def test_a_change_of_address_fulfils_the_wish(session: Session) -> None:
    ann, bob = added(session, "ann@example.com"), added(session, "bob@example.com")
    for someone in (ann, bob):
        people.wish_address(session, someone, parse("new@example.com"), now=NOW)
    people.change_address(session, ann.id, "new@example.com", now=LATER, consent_text="x")
    assert session.scalars(select(AddressChange.subscriber_id)).all() == [bob.id]  # type: ignore[call-overload]  # as above
    with pytest.raises(AddressTaken):
        people.change_address(session, bob.id, "new@example.com", now=LATER, consent_text="x")


def test_who_confirms_at_an_address_that_once_left_is_mailed_there(session: Session) -> None:
    old = added(session, "new@example.com")
    people.erase(session, old.id, now=NOW)
    ann = added(session, "ann@example.com")
    people.change_address(session, ann.id, "new@example.com", now=LATER, consent_text="x")
    assert people.suppressions(session, "new@example.com") == frozenset()


def test_who_left_stays_gone_at_another_address(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.suppress(session, "new@example.com", Kind.UNSUBSCRIBED, now=NOW)
    people.unsubscribe(session, ann.id, now=NOW)
    people.change_address(session, ann.id, "new@example.com", now=LATER, consent_text="x")
    assert ann.state == State.UNSUBSCRIBED
    assert people.suppressions(session, "new@example.com") == {Kind.UNSUBSCRIBED}
    assert people.suppressions(session, "ann@example.com") == {Kind.UNSUBSCRIBED}


def test_wishes_go_once_their_link_has_expired(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.wish_address(session, ann, parse("new@example.com"), now=NOW)
    day = dt.timedelta(days=1)
    assert people.forget_wishes(session, now=NOW + day - dt.timedelta(microseconds=1)) == 0
    assert people.forget_wishes(session, now=NOW + day) == 1
    assert count(session, AddressChange) == 0


def test_a_person_may_change_the_spelling_of_their_own_address(session: Session) -> None:
    ann = added(session, "ann@example.com")
    people.change_address(session, ann.id, "Ann@example.com", now=LATER, consent_text="x")
    assert (ann.address, ann.identity) == ("Ann@example.com", "ann@example.com")


def test_pages_of_people_follow_each_other_without_gap_or_repetition(session: Session) -> None:
    ids = [added(session, f"u{number}@example.com", active=number % 2 == 0).id for number in range(10)]
    seen: list[int] = []
    while batch := people.page(session, after=seen[-1] if seen else 0, limit=3):
        seen += [subscriber.id for subscriber in batch]
    assert seen == ids
    assert len(people.page(session, state=State.PENDING)) == 5


def test_at_a_moment_a_running_pause_is_a_state_of_its_own(session: Session) -> None:
    ann, bob = added(session, "ann@example.com"), added(session, "bob@example.com")
    preferences.set(session, bob, Preferences(paused_until=LATER))
    assert people.page(session, state=State.ACTIVE) == [ann, bob]
    assert people.page(session, state=State.ACTIVE, now=NOW) == [ann]
    assert people.page(session, state=State.PAUSED, now=NOW) == [bob]
    assert people.page(session, state=State.PAUSED, now=LATER) == []


def test_what_stands_against_an_address_is_told_with_moment_and_note(session: Session) -> None:
    assert not people.suppression_records(session, "ann@example.com")
    people.suppress(session, "ann@example.com", Kind.OWNER, now=LATER, note="by phone")
    people.suppress(session, "ann@example.com", Kind.HARD_BOUNCE, now=NOW)
    told = [(one.kind, one.at, one.note) for one in people.suppression_records(session, "Ann@Example.com")]
    assert told == [("hard_bounce", NOW, ""), ("owner", LATER, "by phone")]


def test_a_pause_ends_by_itself(session: Session) -> None:
    ann = added(session, "ann@example.com")
    preferences.set(session, ann, Preferences(paused_until=LATER))
    assert people.state_at(ann, NOW) is State.PAUSED
    assert people.state_at(ann, LATER) is State.ACTIVE
    people.unsubscribe(session, ann.id, now=NOW)
    assert people.state_at(ann, NOW) is State.UNSUBSCRIBED


def test_asking_for_who_is_not_there_is_an_error(session: Session) -> None:
    with pytest.raises(LookupError, match="4711"):
        people.get(session, 4711)


@pytest.mark.parametrize(
    "name", ["Ann\r\nBcc: x", "Ann\x00", "\x1b[31m", "Ann\u2029", "\u202eevil", "\ud800", "x" * 10_000]
)
def test_a_name_that_could_harm_is_refused(session: Session, name: str) -> None:
    with pytest.raises(InvalidName):
        people.add(session, "ann@example.com", now=NOW, how="form", consent_text="x", name=name)
    assert count(session, Subscriber) == 0


def test_a_name_is_kept_as_written_with_single_spaces() -> None:
    assert people.clean_name("  J\u00f6rg   <b> O'Neil ") == "J\u00f6rg <b> O'Neil"
