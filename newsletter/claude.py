"""Ask Claude for data of a given shape: bounded in time and money, retried, cached, whole or not at all.

The only file that imports the vendor's package, and it does so when the first question is asked: the import
takes over a hundred times as long as an interpreter's start. Nothing here reads the environment: key and
address are handed in, and what the vendor's package takes from the environment by itself (proxies, headers,
tracing) is off.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import importlib
import json
import math
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol

from newsletter import retry_after
from newsletter.problems import Problem

if TYPE_CHECKING:
    import anthropic
    import httpx2

DEFAULT_BASE_URL = "https://api.anthropic.com"
MAX_ANSWER_BYTES = 8_000_000
"""Largest body that is read; the longest answer of any model is a small part of it."""

UNUSABLE_FOR = dt.timedelta(hours=20)
"""How long an answer that cannot be used is kept: builds of the same day cost nothing, the next day's asks anew."""

Kind = Literal["refused", "cut_off", "malformed", "try_later", "unauthorised", "unknown_model", "over_budget"]

_HEADERS = frozenset(
    [
        *(
            "accept",
            "anthropic-version",
            "connection",
            "content-length",
            "content-type",
            "host",
            "user-agent",
        ),
        "x-stainless-raw-response",  # How the vendor's package remembers that we read the body ourselves.
    ]
)
_CREDENTIALS = frozenset(["authorization", "x-api-key"])
"""What a request says. The vendor's package would add more, from the environment and about the machine; and
it has sent the key in either of two headers, by its version.
"""
_FENCE = re.compile(r"\s*```[a-zA-Z]*\s*\n(.*)\n\s*```\s*", re.DOTALL)
_SCHEMA_OVERHEAD_TOKENS = 2000
_LONGEST_PAUSE_SECONDS = 30.0


class ClaudeError(Problem):
    """There is no usable answer. ``kind`` says of which sort, the text says why and what mends it.

    ``refused``: the model or the service will not answer this question. ``cut_off``: the answer reached its
    limit of tokens. ``malformed``: the answer is not the data that was asked for. ``try_later``: the
    service is busy, down or too slow; ``retry_after`` holds the seconds that it named, if it did.
    ``unauthorised`` and ``unknown_model``: no question can be asked like this. ``over_budget``: the
    question was not asked, since it could cost too much. ``cost_usd`` is what the failed question cost,
    where prices are known.
    """

    def __init__(self, kind: Kind, text: str, retry_after: float | None = None, cost_usd: float = 0.0) -> None:
        super().__init__(text)
        self.kind: Kind = kind
        self.retry_after = retry_after
        self.cost_usd = cost_usd


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the service counted them; ``input_tokens`` leaves out what was cached."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_read_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What Claude answered: ``data`` as the schema asked, though its fields are the caller's to check.

    ``cached`` answers come from an earlier run and cost nothing now. ``cost_usd`` is None when no price is
    known.
    """

    data: dict[str, Any]
    usage: Usage
    model: str
    cached: bool = False
    cost_usd: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs, in USD per million tokens.

    A question of more than ``long_from`` tokens costs ``long_times`` as much, and so does its answer; 0: none does.
    """

    input: float
    output: float
    cache_write: float
    cache_read: float
    long_from: int = 0
    long_times: float = 1.0

    def cost(self, usage: Usage) -> float:
        """What those tokens cost, in USD."""
        asked = usage.input_tokens + usage.cache_write_tokens + usage.cache_read_tokens
        return self._times(asked) * (
            usage.input_tokens * self.input
            + usage.output_tokens * self.output
            + usage.cache_write_tokens * self.cache_write
            + usage.cache_read_tokens * self.cache_read
        )

    def most(self, asked: int, answered: int) -> float:
        """The most that a question and an answer of at most so many tokens cost, in USD."""
        return self._times(asked) * (asked * max(self.input, self.cache_write) + answered * self.output)

    def _times(self, asked: int) -> float:
        return (self.long_times if self.long_from and asked > self.long_from else 1.0) / 1e6


@dataclass(frozen=True, slots=True)
class Call:
    """One question and what it came to, for the owner's accounts.

    ``purpose`` is what the caller asked for, ``piece`` the number of the piece that it was about (0: several
    or none), ``outcome`` empty for an answer, else the kind of the error. ``cost_usd`` is None when no price
    is known; ``cached`` answers cost nothing.
    """

    purpose: str
    piece: int
    model: str
    usage: Usage
    cost_usd: float | None
    cached: bool
    outcome: str
    seconds: float


class Meter(Protocol):
    """Takes note of every question, from any thread."""

    def note(self, call: Call) -> None:
        """Keep what a question came to."""
        ...


class AnswerCache(Protocol):
    """Keeps answers as they came, under the hash of the whole question, before anything is checked."""

    def get(self, key: str, max_age: dt.timedelta | None = None) -> dict[str, Any] | None:
        """The answer kept under this key (64 hexadecimal digits), or None. ``max_age``: none that is older."""
        ...

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer, durably, before returning: a kill right after must not cost it again."""
        ...


class MemoryCache:
    """Answers of this process."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[float, dict[str, Any]]] = {}

    def get(self, key: str, max_age: dt.timedelta | None = None) -> dict[str, Any] | None:
        """The answer kept under this key, or None. ``max_age``: none that is older."""
        kept_at, answer = self._answers.get(key, (0.0, None))
        is_old = max_age is not None and time.monotonic() - kept_at >= max_age.total_seconds()
        return None if is_old else answer

    def put(self, key: str, answer: dict[str, Any]) -> None:
        """Keep an answer as long as this object lives."""
        self._answers[key] = (time.monotonic(), answer)


class Budget:
    """The ceiling of one issue in USD and seconds, shared by all calls that are made for it, from any
    thread.

    A call first holds the most that it can cost, and afterwards settles for what it did cost; so calls in
    flight together stay under the ceiling too. A call that broke off on the way may have been billed, and
    keeps its hold.

    ``prices`` are by model name; a model without a price may not be asked, unless ``max_usd`` is infinite.
    The seconds begin with the first call that is considered.
    """

    def __init__(self, max_usd: float, prices: Mapping[str, Price], max_seconds: float = math.inf) -> None:
        self._max_usd = max_usd
        self._prices = dict(prices)
        self._max_seconds = max_seconds
        self._ends: float | None = None
        self._lock = threading.Lock()
        self._held = 0.0
        self._spent = 0.0

    @property
    def spent_usd(self) -> float:
        """What was spent so far, or may have been."""
        return self._spent

    @property
    def seconds_left(self) -> float:
        """Seconds until the ceiling in time; 0 when it is reached."""
        with self._lock:
            if self._ends is None:
                self._ends = time.monotonic() + self._max_seconds
            return max(0.0, self._ends - time.monotonic())

    def price(self, model: str) -> Price | None:
        """The price of a model, None where none is known and none needed. Raises ClaudeError when it has
        none and there is a ceiling, which would hold nothing.
        """
        if model not in self._prices and self._max_usd < math.inf:
            raise ClaudeError("over_budget", f"the model {model} has no price; add a [[prices]] table for it")
        return self._prices.get(model)

    def hold(self, usd: float) -> None:
        """Set this much aside before a call. Raises ClaudeError when it would pass either ceiling."""
        if not self.seconds_left:
            raise ClaudeError("over_budget", "the time for writing this issue is used up")
        with self._lock:
            left = self._max_usd - self._spent - self._held
            if usd > left:
                raise ClaudeError(
                    "over_budget",
                    f"a call may cost {usd:.4f} USD; {max(left, 0):.4f} of {self._max_usd:.2f} are left",
                )
            self._held += usd

    def settle(self, held: float, spent: float) -> None:
        """Give a hold back and count what was spent, both in USD."""
        with self._lock:
            self._held -= held
            self._spent += spent


class Claude:
    """One way to ask Claude; may be shared by threads.

    ``base_url`` is where the service is (empty: its public address). ``timeout_seconds`` is the longest
    wait for one question with all ``attempts``; ``pause_seconds`` is the pause before the second one, which
    then doubles. A kept answer that cannot be used (refused, cut off, malformed) stands for ``unusable_for``, and
    is then asked for again: a model that answered badly once need not do so for ever.
    """

    def __init__(
        self,
        *,
        api_key: str,
        base_url: str = "",
        cache: AnswerCache | None = None,
        budget: Budget | None = None,
        meter: Meter | None = None,
        timeout_seconds: float = 120.0,
        attempts: int = 5,
        pause_seconds: float = 1.0,
        unusable_for: dt.timedelta = UNUSABLE_FOR,
    ) -> None:
        self._api_key = api_key.strip()
        self._base_url = base_url.strip() or DEFAULT_BASE_URL
        self._cache: AnswerCache = MemoryCache() if cache is None else cache
        self._budget = budget
        self._meter = meter
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._pause_seconds = pause_seconds
        self._unusable_for = unusable_for

    def __repr__(self) -> str:
        return f"Claude({self._base_url})"

    def ask(
        self,
        *,
        system: str,
        prompt: str,
        schema: dict[str, Any],
        model: str,
        max_tokens: int,
        purpose: str = "",
        piece: int = 0,
        has_second: bool = False,
    ) -> Answer:
        """Ask for data of this JSON schema, in at most ``max_tokens`` tokens.

        ``system`` is the part that stays the same from question to question, and is cached by the service.
        The schema may use what structured outputs know (no lengths; ``additionalProperties: false`` in
        every object). ``purpose`` and ``piece`` are for the accounts alone, and no part of the question. With
        ``has_second``, the caller asks otherwise after a malformed answer, which is then kept for good: what came
        of the second question stands in for it.

        Raises ClaudeError.
        """
        question = _Question(system, prompt, schema, model, max_tokens)
        began = time.monotonic()
        usage, cost, outcome, cached = Usage(), 0.0 if self._budget else None, "", False
        try:
            body, cost, cached = self._answer(question, has_second=has_second)
            usage = (not cached and _usage(body)) or Usage()
            return _read_answer(body, model, cached=cached, cost_usd=cost)
        except ClaudeError as error:
            outcome = error.kind
            if cost is not None:
                cost = max(cost, error.cost_usd)
            raise
        finally:
            if self._meter:
                seconds = time.monotonic() - began
                self._meter.note(Call(purpose, piece, model, usage, cost, cached, outcome, round(seconds, 3)))

    def _answer(self, question: _Question, *, has_second: bool) -> tuple[dict[str, Any], float | None, bool]:
        """The body of an answer, its cost, and whether it was kept from before; a new one is kept."""
        key = question.hash()
        kept = self._cache.get(key)
        if kept is not None and _what_is_wrong(kept) not in ("", "malformed" if has_second else ""):
            kept = self._cache.get(key, self._unusable_for)
        if kept is not None:
            return kept, 0.0, True
        body, cost = self._call(question)
        self._cache.put(key, body)
        return body, cost, False

    def _call(self, question: _Question) -> tuple[dict[str, Any], float | None]:
        """The body of the service's answer and its cost, after as many attempts as time allows."""
        self._check_access()
        importlib.import_module("anthropic")  # Which takes seconds on a busy machine: before the clock starts.
        seconds = min(self._timeout_seconds, self._budget.seconds_left if self._budget else math.inf)
        deadline, lost = time.monotonic() + seconds, 0.0
        for attempt in range(1, self._attempts + 1):
            try:
                body, cost = self._attempt(question, deadline)
                return body, None if cost is None else cost + lost
            except _Failure as failure:
                lost += self._most(question) if failure.maybe_billed else 0.0
                pause = self._pause(failure, attempt)
                if not failure.again or attempt == self._attempts or time.monotonic() + pause >= deadline:
                    text = self._without_key(failure.text)
                    raise ClaudeError(failure.kind, text, failure.retry_after, lost) from None
            except ClaudeError as error:
                raise ClaudeError(error.kind, str(error), cost_usd=lost) from None
            time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _most(self, question: _Question) -> float:
        """What an attempt may have cost that broke off after it was sent."""
        price = self._budget.price(question.model) if self._budget else None
        return question.most_it_can_cost(price) if price else 0.0

    def _check_access(self) -> None:
        """Raise ClaudeError for a key or an address that can be none, before anything is sent anywhere."""
        if not self._api_key or not self._api_key.isascii() or not self._api_key.isprintable():
            why = "the key is no key (it is empty, or holds odd characters); correct ANTHROPIC_API_KEY"
            raise ClaudeError("unauthorised", why)
        if not re.match(r"https?://[^\s/?#@\[\]]", self._base_url):
            why = f"{self._base_url} is no http(s) address; correct ANTHROPIC_BASE_URL"
            raise ClaudeError("unauthorised", why)

    def _pause(self, failure: _Failure, attempt: int) -> float:
        """Seconds until the next attempt: what the service asked for, else doubling and spread by a
        quarter.
        """
        if failure.retry_after is not None:
            return failure.retry_after
        spread = random.uniform(0.75, 1.25)
        return float(min(_LONGEST_PAUSE_SECONDS, self._pause_seconds * 2 ** (attempt - 1)) * spread)

    def _attempt(self, question: _Question, deadline: float) -> tuple[dict[str, Any], float | None]:
        """One attempt within the budget. Raises _Failure for what the service does, ClaudeError for the
        budget.
        """
        if self._budget is None:
            return _post(question, self._api_key, self._base_url, deadline), None
        price = self._budget.price(question.model)
        if price is None:
            self._budget.hold(0.0)
            return _post(question, self._api_key, self._base_url, deadline), None
        held = question.most_it_can_cost(price)
        self._budget.hold(held)
        spent = held
        try:
            body = _post(question, self._api_key, self._base_url, deadline)
            usage = _usage(body)
            spent = held if usage is None else price.cost(usage)
        except _Failure as failure:
            spent = held if failure.maybe_billed else 0.0
            raise
        finally:
            self._budget.settle(held, spent)
        return body, spent

    def _without_key(self, text: str) -> str:
        """A text of the service's without our key, should it repeat it, on one line and not too long."""
        return " ".join(text.replace(self._api_key, "[key]").split())[:400]


@dataclass(frozen=True, slots=True)
class _Question:
    """Everything that shapes an answer."""

    system: str
    prompt: str
    schema: dict[str, Any]
    model: str
    max_tokens: int

    def _json(self) -> str:
        fields = [self.model, self.max_tokens, self.system, self.prompt, self.schema]
        return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)

    def hash(self) -> str:
        """The same for the same question only."""
        return hashlib.sha256(self._json().encode()).hexdigest()

    def most_it_can_cost(self, price: Price) -> float:
        """An upper bound in USD: no token is shorter than a byte, and none of the input need be cached."""
        texts = self.system + self.prompt + json.dumps(self.schema, ensure_ascii=False)
        tokens = len(texts.encode("utf-8", "replace")) + _SCHEMA_OVERHEAD_TOKENS
        return price.most(tokens, self.max_tokens)


class _Failure(Exception):
    """One attempt failed; ``again`` says whether another may do better, ``maybe_billed`` whether it may
    have cost.
    """

    def __init__(
        self,
        kind: Kind,
        text: str,
        *,
        again: bool = False,
        retry_after: float | None = None,
        maybe_billed: bool = False,
    ) -> None:
        super().__init__(text)
        self.kind: Kind = kind
        self.text = text
        self.again = again
        self.retry_after = retry_after
        self.maybe_billed = maybe_billed


def _post(question: _Question, api_key: str, base_url: str, deadline: float) -> dict[str, Any]:
    """Send one request and return the body of a 200 that is a message. Raises _Failure for all else."""
    import anthropic
    import httpx2

    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise _Failure("try_later", "no answer in time")
    with _Watchdog(seconds) as watchdog:
        try:
            with _client(api_key, base_url, seconds, watchdog) as client:
                return _message(_send(client, question))
        except anthropic.APIStatusError as error:
            _raise_for_status(error)
        except anthropic.APIConnectionError as error:
            _raise_for_connection(error, base_url, too_slow=watchdog.fired)
        except (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError, httpx2.InvalidURL) as error:
            reason = f"the call failed ({type(error).__name__})"
            raise _Failure("try_later", reason, again=True, maybe_billed=True) from None
        except (TypeError, ValueError, AttributeError, LookupError, RecursionError) as error:
            # What the vendor's package lets out on bodies and headers that it did not expect.
            reason = f"the answer cannot be read ({type(error).__name__})"
            raise _Failure("try_later", reason, again=True, maybe_billed=True) from None


def _send(client: anthropic.Anthropic, question: _Question) -> bytes:
    """The raw body of the answer: reading it ourselves keeps ``stop_reason`` and ``usage`` of any answer."""
    response = client.messages.with_raw_response.create(
        model=question.model,
        max_tokens=question.max_tokens,
        system=[{"type": "text", "text": question.system, "cache_control": {"type": "ephemeral"}}],
        messages=[{"role": "user", "content": question.prompt}],
        output_config={"format": {"type": "json_schema", "schema": question.schema}},
    )
    return response.http_response.content


def _client(api_key: str, base_url: str, seconds: float, watchdog: _Watchdog) -> anthropic.Anthropic:
    """A client for one request: no retries, redirects, proxies or tracing, and one connection that is
    watched.
    """
    import anthropic
    import httpx2

    def before(request: httpx2.Request) -> None:
        for name, value in list(request.headers.items()):
            if name not in _HEADERS and not (name in _CREDENTIALS and api_key in value):
                del request.headers[name]
        request.headers["accept-encoding"] = "identity"
        request.extensions = {**request.extensions, "trace": watchdog.see}

    def after(response: httpx2.Response) -> None:
        if response.headers.get("content-encoding", "identity") != "identity":
            reason = "the answer is compressed, which was not asked for"
            raise _Failure("try_later", reason, again=True, maybe_billed=True)
        response.stream = _bounded(response.stream)

    http = httpx2.Client(
        trust_env=False,
        follow_redirects=False,
        timeout=seconds,
        event_hooks={"request": [before], "response": [after]},
    )
    return anthropic.Anthropic(
        api_key=api_key,
        base_url=base_url,
        max_retries=0,
        timeout=seconds,
        http_client=http,
        open_telemetry=False,
    )


def _bounded(stream: Any) -> httpx2.SyncByteStream:
    """The same body, with an end to it."""
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for chunk in stream:
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    raise httpx2.ReadError("the body is too large")
                yield chunk

        def close(self) -> None:
            stream.close()

    return Bounded()


class _Watchdog:
    """Ends a call at its deadline, whatever the server does: a byte now and then defeats every time-out per
    read.
    """

    def __init__(self, seconds: float) -> None:
        self.fired = False
        self._socket: Callable[[], Any] = lambda: None
        self._timer = threading.Timer(seconds, self._fire)
        self._timer.daemon = True

    def __enter__(self) -> _Watchdog:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def see(self, event: str, info: Mapping[str, Any]) -> None:
        """Note the connection as it comes up (the ``trace`` extension of the HTTP client)."""
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
            stream = info["return_value"]
            self._socket = lambda: stream.get_extra_info("socket")
            if self.fired:
                self._fire()

    def _fire(self) -> None:
        self.fired = True
        connection = self._socket()
        if connection is not None:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _raise_for_connection(error: anthropic.APIConnectionError, base_url: str, *, too_slow: bool) -> NoReturn:
    import anthropic
    import httpx2

    cause = error.__cause__
    if isinstance(cause, _Failure):
        raise cause from None
    if too_slow or isinstance(error, anthropic.APITimeoutError):
        raise _Failure("try_later", "no answer in time", again=True, maybe_billed=True) from None
    never_sent = isinstance(cause, httpx2.ConnectError)
    reason = "no connection" if never_sent else "the connection broke off"
    raise _Failure("try_later", f"{reason} to {base_url}", again=True, maybe_billed=not never_sent) from None


def _raise_for_status(error: anthropic.APIStatusError) -> NoReturn:
    """Sort an error of the service (https://platform.claude.com/docs/en/api/errors); none is billed."""
    status = error.status_code
    reason = f"{_reason(error.body)} (HTTP {status})"
    wish = retry_after.seconds(error.response.headers.get("retry-after"), dt.datetime.now(dt.UTC))
    if status in (408, 409, 429) or status >= 500:
        raise _Failure("try_later", f"the service is busy: {reason}", again=True, retry_after=wish)
    if status in (401, 402, 403) or "credit balance" in reason:
        raise _Failure("unauthorised", f"the key was not accepted: {reason}; check ANTHROPIC_API_KEY and the account")
    if status == 404:
        raise _Failure("unknown_model", f"not found: {reason}; check writing.model and ANTHROPIC_BASE_URL")
    if status < 400:
        raise _Failure("unknown_model", f"the service is not here: {reason}; check ANTHROPIC_BASE_URL")
    raise _Failure("refused", f"the service refuses this question: {reason}")


def _reason(body: object) -> str:
    """The message of an error body, when it has one; the HTML of a gateway tells nobody anything."""
    error = body.get("error") if isinstance(body, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message if isinstance(message, str) and message else "no reason given"


def _message(body: bytes) -> dict[str, Any]:
    """The message of a body. Raises _Failure when it is none: then something else than the service has
    answered.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        message = None
    if isinstance(message, dict) and message.get("type") == "message" and isinstance(message.get("content"), list):
        return message
    raise _Failure("try_later", "what answered is not the service", again=True, maybe_billed=True)


def _read_answer(body: Mapping[str, Any], model: str, *, cached: bool, cost_usd: float | None) -> Answer:
    """The data of a message. Raises ClaudeError unless the model came to its end and the data is a JSON
    object.
    """
    stop = body.get("stop_reason")
    cost = cost_usd or 0.0
    if stop == "refusal":
        raise ClaudeError("refused", "the model declined to answer", cost_usd=cost)
    if stop in ("max_tokens", "model_context_window_exceeded"):
        raise ClaudeError("cut_off", f"the answer was cut off ({stop}); raise writing.max_tokens", cost_usd=cost)
    if stop not in ("end_turn", "stop_sequence"):
        raise ClaudeError("malformed", f"the model stopped for an unknown reason ({stop!r:.40})", cost_usd=cost)
    data = _parse_data(_text(body))
    if data is None:
        raise ClaudeError("malformed", "the answer is no JSON object", cost_usd=cost)
    return Answer(data, _usage(body) or Usage(), model, cached, cost_usd)


def _what_is_wrong(body: Mapping[str, Any]) -> Kind | Literal[""]:
    """Why a kept body does not hold the data that was asked for; nothing when it does."""
    try:
        _read_answer(body, "", cached=True, cost_usd=None)
    except ClaudeError as error:
        return error.kind
    return ""


def _text(body: Mapping[str, Any]) -> str:
    blocks = [block for block in body["content"] if isinstance(block, dict) and block.get("type") == "text"]
    return "".join(block["text"] for block in blocks if isinstance(block.get("text"), str))


def _parse_data(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, also within a Markdown fence; None for anything else."""
    fenced = _FENCE.fullmatch(text)
    try:
        data = json.loads(fenced.group(1) if fenced else text)
        json.dumps(data, ensure_ascii=False).encode()  # Lone surrogates cannot be stored or mailed.
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _usage(body: Mapping[str, Any]) -> Usage | None:
    """The tokens that a message reports; None when it reports nothing usable."""
    usage = body.get("usage")
    if not isinstance(usage, dict):
        return None
    names = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    counts = [usage.get(name) or 0 for name in names]
    if any(not isinstance(count, int) or count < 0 for count in counts):
        return None
    return Usage(*counts)
