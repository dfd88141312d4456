"""Asking Claude, against a small true service on loopback."""

from __future__ import annotations

import datetime as dt
import logging
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from newsletter.claude import (
    Answer,
    Budget,
    Claude,
    ClaudeError,
    MemoryCache,
    Price,
    Usage,
)
from tests.newsletter import fake_claude as fake
from tests.newsletter.fake_claude import KEY, MODEL, Behaviour, FakeClaude

SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
WORD = fake.answers({"word": "yes"})
PRICE = Price(input=3.0, output=15.0, cache_write=3.75, cache_read=0.3)
COST_OF_ONE = (1000 * 3.0 + 200 * 15.0 + 500 * 0.3) / 1e6


def asker(service: FakeClaude, **options: Any) -> Claude:
    defaults: dict[str, Any] = {"api_key": KEY, "timeout_seconds": 5.0, "pause_seconds": 0.001}
    return Claude(base_url=service.base_url, **{**defaults, **options})


def ask(claude: Claude, prompt: str = "One word?", model: str = MODEL) -> Answer:
    return claude.ask(system="Be short.", prompt=prompt, schema=SCHEMA, model=model, max_tokens=100)


def failure(service: FakeClaude, **options: Any) -> ClaudeError:
    with pytest.raises(ClaudeError) as raised:
        ask(asker(service, **options))
    return raised.value


def test_an_answer_comes_back_as_data_with_its_usage() -> None:
    with FakeClaude([WORD]) as service:
        answer = ask(asker(service))
    assert answer.data == {"word": "yes"}
    assert answer.usage == Usage(1000, 200, 0, 500)
    assert (answer.cached, answer.model, answer.cost_usd) == (False, MODEL, None)


def test_the_request_asks_for_the_schema_and_for_caching_of_the_constant_part() -> None:
    with FakeClaude([WORD]) as service:
        ask(asker(service))
    body = service.requests[0].body
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": SCHEMA}}
    assert body["system"] == [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}]
    assert (body["model"], body["max_tokens"]) == (MODEL, 100)
    assert body["messages"] == [{"role": "user", "content": "One word?"}]


def test_a_second_question_of_the_same_words_makes_no_call_and_costs_nothing() -> None:
    cache = MemoryCache()
    budget = Budget(1.0, {MODEL: PRICE})
    with FakeClaude([WORD]) as service:
        first = ask(asker(service, cache=cache, budget=budget))
        second = ask(asker(service, cache=cache, budget=budget))
    assert len(service.requests) == 1
    assert second.cached and second.data == first.data and second.cost_usd == 0.0
    assert budget.spent_usd == pytest.approx(COST_OF_ONE)


def test_each_field_of_a_question_makes_it_another_question() -> None:
    with FakeClaude(otherwise=WORD) as service:
        claude = asker(service)
        base: dict[str, Any] = {
            "system": "a",
            "prompt": "b",
            "schema": SCHEMA,
            "model": MODEL,
            "max_tokens": 9,
        }
        changes: list[dict[str, Any]] = [
            {},
            {"system": "ab"},
            {"prompt": "bc"},
            {"model": "other"},
            {"max_tokens": 10},
            {"schema": {**SCHEMA, "description": "x"}},
        ]
        for change in changes:
            claude.ask(**{**base, **change})
    assert len(service.requests) == len(changes)


def test_an_answer_is_kept_before_it_is_checked() -> None:
    cache = MemoryCache()
    with FakeClaude([fake.refusal]) as service:
        assert failure(service, cache=cache).kind == "refused"
        assert failure(service, cache=cache).kind == "refused"
    assert len(service.requests) == 1


@pytest.mark.parametrize("bad", [fake.refusal, fake.says("not JSON"), fake.says('{"word": "y', "max_tokens")])
def test_a_kept_answer_that_cannot_be_used_is_asked_for_again_some_day(bad: Behaviour) -> None:
    cache, day = MemoryCache(), dt.timedelta(days=1)
    with FakeClaude([bad, WORD]) as service:
        failure(service, cache=cache, unusable_for=day)
        failure(service, cache=cache, unusable_for=day)
        assert ask(asker(service, cache=cache, unusable_for=dt.timedelta(0))).data == {"word": "yes"}
        assert ask(asker(service, cache=cache, unusable_for=dt.timedelta(0))).cached
    assert len(service.requests) == 2


def test_a_malformed_answer_is_kept_for_good_where_a_second_question_stands_in_for_it() -> None:
    question: dict[str, Any] = {"system": "", "prompt": "One?", "schema": SCHEMA, "model": MODEL, "max_tokens": 100}
    with FakeClaude([fake.says("not JSON"), fake.refusal]) as service:
        claude = asker(service, unusable_for=dt.timedelta(0))
        for _ in range(2):
            with pytest.raises(ClaudeError, match="no JSON"):
                claude.ask(**question, has_second=True)
        with pytest.raises(ClaudeError, match="declined"):
            claude.ask(**question)
    assert len(service.requests) == 2


def test_what_is_no_answer_is_not_kept() -> None:
    cache = MemoryCache()
    with FakeClaude([fake.html, fake.server_error, WORD]) as service:
        assert failure(service, cache=cache, attempts=2).kind == "try_later"
        assert ask(asker(service, cache=cache)).data == {"word": "yes"}


def test_json_in_a_markdown_fence_is_read() -> None:
    with FakeClaude([fake.says('```json\n{"word": "yes"}\n```\n')]) as service:
        assert ask(asker(service)).data == {"word": "yes"}


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (fake.refusal, "refused"),
        (fake.error(400, "invalid_request_error", "prompt is too long"), "refused"),
        (fake.error(413, "request_too_large", "too large"), "refused"),
        (fake.error(422, "invalid_request_error", "no"), "refused"),
        (fake.cut_off, "cut_off"),
        (fake.says("{}", "model_context_window_exceeded"), "cut_off"),
        (fake.says("not JSON"), "malformed"),
        (fake.says('{"word": "ye'), "malformed"),
        (fake.says('Sure!\n```json\n{"word": "yes"}\n```'), "malformed"),
        (fake.says(""), "malformed"),
        (fake.says("[1, 2]"), "malformed"),
        (fake.says("null"), "malformed"),
        (fake.says('{"word": "\\ud800"}'), "malformed"),
        (fake.says("[" * 100_000), "malformed"),
        (fake.says("{}", "tool_use"), "malformed"),
        (fake.says("{}", "pause_turn"), "malformed"),
        (fake.says("{}", "something_new"), "malformed"),
        (fake.says("{}", stop_reason=None), "malformed"),
        (fake.says("", content=[]), "malformed"),
        (fake.says("", content=[None, {"type": "text"}, {"type": "text", "text": 5}]), "malformed"),
        (fake.unauthorised, "unauthorised"),
        (fake.error(402, "billing_error", "pay"), "unauthorised"),
        (fake.error(403, "permission_error", "no"), "unauthorised"),
        (fake.error(400, "invalid_request_error", "Your credit balance is too low"), "unauthorised"),
        (fake.unknown_model, "unknown_model"),
        (fake.raw(b"<h1>Not Found</h1>", 404, "text/html"), "unknown_model"),
        (fake.raw(b"", 302, location="https://elsewhere.example/"), "unknown_model"),
    ],
)
def test_a_failure_that_will_not_pass_is_said_at_once(behaviour: Behaviour, kind: str) -> None:
    with FakeClaude([behaviour]) as service:
        assert failure(service).kind == kind
        assert len(service.requests) == 1


PASSING = [
    fake.rate_limited,
    fake.error(408, "timeout_error", "slow"),
    fake.error(409, "conflict_error", "again"),
    fake.server_error,
    fake.error(502, "api_error", "gateway"),
    fake.error(503, "api_error", "down"),
    fake.error(504, "timeout_error", "slow"),
    fake.overloaded,
    fake.raw(b"<h1>Bad gateway</h1>", 502, "text/html"),
    fake.raw(b"\xff\xfe", 500),
    fake.html,
    fake.raw(b""),
    fake.raw(b"[]"),
    fake.raw(b'{"type": "message"}'),
    fake.raw(b'{"type": "message", "content": "text"}'),
    fake.raw(b"\x1f\x8b\x08nonsense", content_encoding="gzip"),
    fake.resets,
    fake.breaks_off,
    fake.floods,
]


@pytest.mark.parametrize("behaviour", PASSING)
def test_a_failure_that_may_pass_is_tried_again(behaviour: Behaviour) -> None:
    with FakeClaude([behaviour, WORD]) as service:
        assert ask(asker(service)).data == {"word": "yes"}
        assert len(service.requests) == 2


@pytest.mark.parametrize("behaviour", PASSING)
def test_a_failure_that_does_not_pass_ends_after_the_attempts(behaviour: Behaviour) -> None:
    with FakeClaude(otherwise=behaviour) as service:
        assert failure(service, attempts=2).kind == "try_later"
        assert len(service.requests) == 2


@pytest.mark.parametrize("behaviour", [fake.hangs, fake.drips])
def test_a_call_ends_at_its_deadline_whatever_the_server_does(behaviour: Behaviour) -> None:
    with FakeClaude(otherwise=behaviour) as service:
        started = time.monotonic()
        assert failure(service, timeout_seconds=0.4).kind == "try_later"
        assert time.monotonic() - started < 2


def test_a_service_that_is_not_there_is_tried_until_the_attempts_end() -> None:
    with FakeClaude() as service:
        address = service.base_url
    with pytest.raises(ClaudeError, match=r"no connection to http://127\.0\.0\.1") as raised:
        ask(Claude(api_key=KEY, base_url=address, attempts=2, pause_seconds=0.001))
    assert raised.value.kind == "try_later"


@pytest.mark.parametrize("address", ["nonsense", "ftp://127.0.0.1/", "http://[", "http://"])
def test_an_address_that_is_none_names_its_variable(address: str) -> None:
    with pytest.raises(ClaudeError, match="ANTHROPIC_BASE_URL") as raised:
        ask(Claude(api_key=KEY, base_url=address, pause_seconds=0.001))
    assert raised.value.kind == "unauthorised"


@pytest.mark.parametrize("key", ["", " ", "sk-\nx", "sk-é"])
def test_a_key_that_can_be_none_is_never_sent(key: str) -> None:
    with FakeClaude() as service:
        assert failure(service, api_key=key).kind == "unauthorised"
        assert service.requests == []


def test_a_long_question_costs_more_where_the_price_says_so() -> None:
    price = Price(input=0.1, output=0.5, cache_write=0.125, cache_read=0.01, long_from=100_000, long_times=5.0)
    assert price.cost(Usage(100_000, 1_000, 0, 0)) == pytest.approx(0.0105)
    assert price.cost(Usage(60_000, 1_000, 30_000, 10_001)) == pytest.approx(5 * 0.01035001)
    assert price.most(100_000, 1_000) == pytest.approx(0.013)
    assert price.most(100_001, 1_000) == pytest.approx(5 * 0.013, rel=1e-4)


def test_a_pause_that_the_service_asks_for_is_kept() -> None:
    with FakeClaude([fake.error(429, "rate_limit_error", "slow", Retry_After="0.3"), WORD]) as service:
        started = time.monotonic()
        ask(asker(service))
        assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("value", ["86400", "999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_pause_longer_than_the_deadline_is_not_waited_for(value: str) -> None:
    with FakeClaude(otherwise=fake.error(429, "rate_limit_error", "slow", Retry_After=value)) as service:
        started = time.monotonic()
        failed = failure(service)
        assert time.monotonic() - started < 1.5
    assert failed.kind == "try_later" and failed.retry_after is not None and failed.retry_after > 80_000
    assert len(service.requests) == 1


def test_the_key_is_in_no_error_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    echo = fake.error(401, "authentication_error", f"no such key: {KEY}")
    with caplog.at_level(logging.DEBUG), FakeClaude([fake.server_error, fake.resets, WORD, echo]) as service:
        claude = asker(service)
        ask(claude)
        with pytest.raises(ClaudeError) as raised:
            ask(claude, "Another?")
    assert KEY not in caplog.text and caplog.text
    assert KEY not in str(raised.value) and "[key]" in str(raised.value)
    assert KEY not in repr(claude)


def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-other")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-other")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "X-Odd: from-the-environment")
    with FakeClaude([WORD]) as service:
        ask(asker(service))
    headers = {name.lower(): value for name, value in service.requests[0].headers.items()}
    assert KEY in (headers.get("x-api-key"), headers.get("authorization", "").removeprefix("Bearer "))
    assert "other" not in str(headers) and "x-odd" not in headers
    assert not [name for name in headers if name.startswith("x-stainless-os")]


def test_the_package_of_the_vendor_is_loaded_by_the_first_question_only() -> None:
    code = (
        "import sys, newsletter.claude as c; c.Claude(api_key='k'); "
        "print(sorted({'anthropic', 'httpx2', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_money_is_counted_by_the_configured_prices() -> None:
    budget = Budget(1.0, {MODEL: PRICE})
    with FakeClaude([WORD]) as service:
        answer = ask(asker(service, budget=budget))
    assert answer.cost_usd == pytest.approx(COST_OF_ONE)
    assert budget.spent_usd == pytest.approx(COST_OF_ONE)


def test_a_question_that_could_pass_the_ceiling_is_not_asked() -> None:
    budget = Budget(0.001, {MODEL: PRICE})
    with FakeClaude() as service:
        assert failure(service, budget=budget).kind == "over_budget"
    assert service.requests == [] and budget.spent_usd == 0.0


def test_a_model_without_a_price_is_not_asked() -> None:
    with FakeClaude() as service:
        failed = failure(service, budget=Budget(1.0, {}))
    assert failed.kind == "over_budget" and "[[prices]]" in str(failed)
    assert service.requests == []


def test_no_question_is_asked_after_the_time_is_up() -> None:
    with FakeClaude() as service:
        assert failure(service, budget=Budget(1.0, {MODEL: PRICE}, max_seconds=0)).kind == "over_budget"
    assert service.requests == []


def test_a_call_that_may_have_been_billed_counts_in_full_and_an_error_counts_nothing() -> None:
    budget = Budget(1.0, {MODEL: PRICE})
    with FakeClaude(otherwise=fake.server_error) as service:
        failure(service, budget=budget)
        assert budget.spent_usd == 0.0
    with FakeClaude(otherwise=fake.resets) as service:
        failure(service, budget=budget, attempts=1)
    assert budget.spent_usd > 100 * PRICE.output / 1e6


def test_a_failed_answer_says_what_it_cost() -> None:
    with FakeClaude([fake.refusal]) as service:
        failed = failure(service, budget=Budget(1.0, {MODEL: PRICE}))
    assert failed.cost_usd == pytest.approx(COST_OF_ONE)


def test_an_answer_without_usage_counts_as_the_most_it_can_cost() -> None:
    budget = Budget(1.0, {MODEL: PRICE})
    with FakeClaude([fake.says('{"word": "yes"}', usage=None)]) as service:
        answer = ask(asker(service, budget=budget))
    assert answer.cost_usd is not None and answer.cost_usd > 2000 * PRICE.cache_write / 1e6


def test_calls_in_flight_together_stay_under_the_ceiling() -> None:
    budget = Budget(0.05, {MODEL: PRICE})
    kinds: list[str] = []

    def one(number: int) -> None:
        try:
            ask(claude, f"Question {number}?")
        except ClaudeError as error:
            kinds.append(error.kind)

    with FakeClaude(otherwise=WORD) as service:
        claude = asker(service, budget=budget)
        threads = [threading.Thread(target=one, args=(number,)) for number in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert set(kinds) == {"over_budget"} and len(service.requests) + len(kinds) == 16
    assert 0 < budget.spent_usd <= 0.05


def test_a_storm_of_failures_is_ridden_out() -> None:
    storm = [
        fake.rate_limited,
        WORD,
        fake.resets,
        fake.overloaded,
        WORD,
        fake.html,
        WORD,
        fake.server_error,
        WORD,
        WORD,
    ]
    with FakeClaude(storm) as service:
        claude = asker(service)
        words = [ask(claude, f"Question {number}?").data["word"] for number in range(5)]
    assert words == ["yes"] * 5
