"""Fewer mails in place of none: never more than before, and never by accident."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import html
from starlette.datastructures import FormData

from newsletter.config import Config
from newsletter.web.readers import desk
from subscribers import Frequency, Preferences, State
from subscribers.pages import fewer
from tests.newsletter.makers import DAY
from tests.subscribers.pages.conftest import Site, main_text

KEYS = ("safety", "policy", "training")
TOPICS = Config.model_validate({"topics": [{"key": key, "name": key.title()} for key in KEYS]})
RANK = {Frequency.EVERY: 3, Frequency.WEEKLY: 2, Frequency.MONTHLY: 1}

topics = st.none() | st.frozensets(st.sampled_from([*KEYS, "gone"]), max_size=4)
moments = st.none() | st.timedeltas(dt.timedelta(days=-9), dt.timedelta(days=200)).map(lambda wait: DAY + wait)
forms = st.fixed_dictionaries(
    {"instead": st.sampled_from(["weekly", "pause-30", "pause-90", "topics"])},
    optional={"topic": st.lists(st.sampled_from([*KEYS, "gone", "unknown", "*"]), max_size=4)},
)


def form(values: dict[str, object]) -> FormData:
    """A form as it was sent."""
    pairs = [("instead", str(values["instead"]))]
    chosen = values.get("topic", [])
    assert isinstance(chosen, list)
    return FormData([*pairs, *(("topic", str(key)) for key in chosen)])


def test_it_is_never_more_than_before(site: Site) -> None:
    site.serve(TOPICS)
    parts = desk(site.press, lambda: None)

    @given(topics, st.sampled_from(Frequency), moments, forms)
    def law(
        follows: frozenset[str] | None, frequency: Frequency, until: dt.datetime | None, sent: dict[str, object]
    ) -> None:
        before = Preferences(follows, frequency, until)
        after = fewer.lessened(before, form(sent), parts)
        if after is None:
            assert sent["instead"] == "topics"
            return
        assert after.topics or after.topics == follows
        assert follows is None or (after.topics is not None and after.topics <= follows)
        assert follows is not None or after.topics is None or after.topics <= set(KEYS)
        assert RANK[after.frequency] <= RANK[frequency]
        assert until is None or until <= site.now or (after.paused_until is not None and after.paused_until >= until)
        assert (after.format, after.time_zone) == (before.format, before.time_zone)

    law()


def test_only_what_is_ticked_stays(site: Site) -> None:
    site.serve(TOPICS)
    everything, chosen = site.reader(), site.reader("bo@example.com", topics=frozenset({"safety", "policy", "gone"}))
    for reader in (everything, chosen):
        sent = {"instead": "topics", "topic": ["policy", "training"]}
        answer = site.client.post(site.unsubscribe(reader), data=sent)
        assert answer.status_code == 200 and "Policy" in main_text(answer.text)
    assert site.wishes(everything).topics == frozenset({"policy", "training"})
    assert site.wishes(chosen).topics == frozenset({"policy"})


def test_the_topics_that_one_has_are_offered_and_one_alone_is_not(site: Site) -> None:
    site.serve(TOPICS)
    two = site.reader(topics=frozenset({"safety", "policy"}))
    one = site.reader("bo@example.com", topics=frozenset({"safety", "gone"}))
    offered = "//input[@name='topic']/@value"
    assert html.document_fromstring(site.client.get(site.unsubscribe(two)).text).xpath(offered) == ["safety", "policy"]
    assert html.document_fromstring(site.client.get(site.unsubscribe(one)).text).xpath(offered) == []


@pytest.mark.parametrize("chosen", [[], ["gone"], ["<script>alert(1)</script>"]])
def test_who_keeps_nothing_is_asked_again_and_nothing_changes(chosen: list[str], site: Site) -> None:
    site.serve(TOPICS)
    stays, gone = site.reader(), site.reader("bo@example.com")
    undo = site.leave(gone)
    before = site.dump()
    for path in (site.unsubscribe(stays), undo):
        answer = site.client.post(path, data={"instead": "topics", "topic": chosen})
        assert answer.status_code == 422
        assert "Nothing was changed: please tick at least one topic." in main_text(answer.text)
        assert "<script" not in answer.text
    assert site.dump() == before


def test_who_left_and_keeps_some_topics_is_back_with_those_alone(site: Site) -> None:
    site.serve(TOPICS)
    reader = site.reader()
    site.client.post(site.leave(reader), data={"instead": "topics", "topic": ["policy"]})
    assert site.row(reader).state == State.ACTIVE
    assert site.wishes(reader).topics == frozenset({"policy"})
