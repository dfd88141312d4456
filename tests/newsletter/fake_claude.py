"""A small, true Messages API on loopback: the product reaches it by its base URL, as it reaches the real
one.

It checks what the real service checks (path, key, version, model, the shape of a request), answers each
request by the next behaviour of its script, and keeps every request. A good answer is made from the article
in the prompt: its own sentences as claims, with themselves as quotes.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from newsletter import sentences

KEY = "sk-test-0123456789"
MODEL = "claude-test"

Handler = BaseHTTPRequestHandler
Behaviour = Callable[[Handler, dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    headers: Mapping[str, str]
    body: dict[str, Any]

    @property
    def system(self) -> str:
        """The constant part of the prompt."""
        return "".join(block["text"] for block in self.body["system"])

    @property
    def prompt(self) -> str:
        """What was asked."""
        return str(self.body["messages"][0]["content"])

    @property
    def is_triage(self) -> bool:
        """Whether candidates are to be appraised, and no piece to be written up."""
        return "appraisals" in self.body["output_config"]["format"]["schema"]["properties"]


@dataclass
class FakeClaude:
    """The service. ``script`` behaves for one request each; when it is used up, ``otherwise`` does.

    ``models`` are the models that it knows; None: any.
    """

    script: Iterable[Behaviour] = ()
    otherwise: Behaviour = field(default_factory=lambda: good)
    requests: list[Request] = field(default_factory=list)
    models: frozenset[str] | None = None

    def __post_init__(self) -> None:
        self._script: Iterator[Behaviour] = itertools.chain(self.script)
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    def __enter__(self) -> FakeClaude:
        service = self

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that has hung up is no news."""

        class Asked(Handler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                service._serve(self)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self._server = Server(("127.0.0.1", 0), Asked)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def written(self) -> list[Request]:
        """The requests of the writer, without those of triage."""
        return [request for request in self.requests if not request.is_triage]

    @property
    def base_url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def _serve(self, handler: Handler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            self.requests.append(Request(dict(handler.headers), body))
            refusal = self._refusal(handler, body)
            behaviour = refusal or next(self._script, self.otherwise)
        behaviour(handler, body)

    def _refusal(self, handler: Handler, body: dict[str, Any]) -> Behaviour | None:
        if handler.path != "/v1/messages":
            return error(404, "not_found_error", "Not found")
        if KEY not in (
            handler.headers["x-api-key"],
            (handler.headers["authorization"] or "")[len("Bearer ") :],
        ):
            return error(401, "authentication_error", "invalid x-api-key")
        if not handler.headers["anthropic-version"]:
            return error(400, "invalid_request_error", "anthropic-version: header is required")
        if self.models is not None and body["model"] not in self.models:
            return error(404, "not_found_error", f"model: {body['model']}")
        problem = _schema_problem(body["output_config"]["format"]["schema"])
        return error(400, "invalid_request_error", problem) if problem else None


def _schema_problem(schema: Any) -> str:
    """What structured outputs do not take: objects open to more properties, and limits of length."""
    if isinstance(schema, list):
        return next(filter(None, map(_schema_problem, schema)), "")
    if not isinstance(schema, dict):
        return ""
    if schema.get("type") == "object" and schema.get("additionalProperties") is not False:
        return "output_config.format.schema: additionalProperties must be false"
    if {"maxItems", "maxLength", "minLength", "minimum", "maximum"} & set(schema):
        return "output_config.format.schema: unsupported keyword"
    return next(filter(None, map(_schema_problem, schema.values())), "")


def send(handler: Handler, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
    """Answer with this body."""
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def message(text: str, stop_reason: str | None = "end_turn", **changes: Any) -> bytes:
    """The body of a message with this text."""
    body = {
        "id": "msg_test",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": text}],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 1000,
            "output_tokens": 200,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 500,
        },
    }
    return json.dumps({**body, **changes}).encode()


def says(text: str, stop_reason: str | None = "end_turn", **changes: Any) -> Behaviour:
    """Answer with this text."""
    return lambda handler, _: send(handler, 200, message(text, stop_reason, **changes))


def answers(data: object) -> Behaviour:
    """Answer with this data."""
    return says(json.dumps(data))


def raw(body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> Behaviour:
    """Answer with these bytes; underscores in names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: send(handler, status, body, {"Content-Type": content_type, **named})


def error(status: int, kind: str, text: str, **headers: str) -> Behaviour:
    """Answer with an error as the service words it; underscores in names of headers stand for hyphens."""
    body = {"type": "error", "error": {"type": kind, "message": text}, "request_id": "req_test"}
    return raw(json.dumps(body).encode(), status, **headers)


refusal = says("I cannot help with that.", "refusal")
cut_off = says('{"summary": [[{"sentence": "It was', "max_tokens")
unauthorised = error(401, "authentication_error", "invalid x-api-key")
unknown_model = error(404, "not_found_error", "model: claude-test")
rate_limited = error(429, "rate_limit_error", "slow down")
server_error = error(500, "api_error", "internal server error")
overloaded = error(529, "overloaded_error", "Overloaded")
html = raw(b"<!doctype html><title>502 Bad Gateway</title>", content_type="text/html")


def hangs(handler: Handler, body: dict[str, Any]) -> None:
    """Never answer: until the other side hangs up."""
    handler.connection.settimeout(30)
    handler.close_connection = True
    handler.connection.recv(1)


def drips(handler: Handler, body: dict[str, Any]) -> None:
    """Answer a byte now and then, without end, so that no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.close_connection = True
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


def floods(handler: Handler, body: dict[str, Any]) -> None:
    """Answer more than anyone would read."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.end_headers()
    handler.close_connection = True
    for _ in range(40):
        handler.wfile.write(b" " * 1_000_000)


def resets(handler: Handler, body: dict[str, Any]) -> None:
    """Drop the connection after the request was read."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def breaks_off(handler: Handler, body: dict[str, Any]) -> None:
    """Promise more than is sent."""
    handler.send_response(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.close_connection = True
    handler.wfile.write(message("{}")[:50])


def good(handler: Handler, body: dict[str, Any]) -> None:
    """Answer as asked, with the article's own sentences as claims and as their quotes."""
    send(handler, 200, message(json.dumps(good_data(body))))


def good_data(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a good answer to this request holds: appraisals of the candidates, or claims."""
    schema, prompt = body["output_config"]["format"]["schema"], body["messages"][0]["content"]
    if "appraisals" in schema["properties"]:
        return {"appraisals": [appraisal(number) for number in candidates_in(prompt)]}
    data: dict[str, Any] = fill(schema, claims_of(prompt), suggestions_for(prompt))
    return data


def lavish(handler: Handler, body: dict[str, Any]) -> None:
    """Answer as asked, at great length: 7,000 tokens."""
    usage = {"input_tokens": 1000, "output_tokens": 7000}
    send(handler, 200, message(json.dumps(good_data(body)), usage=usage))


def candidates_in(prompt: str) -> list[int]:
    """The numbers of the candidates that a prompt of triage's asks about."""
    return [int(number) for number in re.findall(r"^<candidate-[0-9a-f]+ number=(\d+)>$", prompt, re.MULTILINE)]


def appraisal(piece: int, **changes: Any) -> dict[str, Any]:
    """A candidate found worth reading."""
    scores = {"worth": 8, "novelty": 7, "depth": 6, "evidence": 7}
    return {"piece": piece, **scores, "topics": [], "why": f"Candidate {piece} measures what it says.", **changes}


def article_of(prompt: str) -> str:
    """The article in a prompt of the writer's; of its notes, the quotes as paragraphs."""
    found = re.search(r"<((article|notes)-[0-9a-f]+)>\n(.*)\n</\1>", prompt, re.DOTALL)
    assert found, "no article in the prompt"
    if found.group(2) == "article":
        return found.group(3)
    return "\n\n".join(quote for line in found.group(3).splitlines() for quote in json.loads(line)["quotes"])


def claims_of(prompt: str) -> Iterator[dict[str, Any]]:
    """The sentences of the article as claims, again and again."""
    said = [
        sentence.text
        for sentence in sentences.sentences(article_of(prompt))
        if 6 <= len(sentence.text.split()) <= 40 and re.fullmatch(r"[A-Z][^/<>]*[.!?]", sentence.text)
    ]
    assert said, "the article has no sentence to claim"
    return itertools.cycle({"sentence": text, "quotes": [text]} for text in said)


def suggestions_for(prompt: str) -> tuple[str, ...]:
    """What could be built, said otherwise for each article."""
    number = zlib.crc32(article_of(prompt).encode()) % 10_000
    return (
        f"Log {number} prompts of your own and label them by hand.",
        f"Let two models answer {number} of them, and count where they agree.",
        "Then change one thing at a time and see which labels move.",
    )


def fill(schema: Mapping[str, Any], claims: Iterator[dict[str, Any]], suggestions: Sequence[str] = ("Try it.",)) -> Any:
    """Data of this schema: lists of five claims, paragraphs of three, and suggestions where no quotes are
    asked.
    """
    if schema["type"] == "array":
        is_prose = schema["items"]["type"] == "array"
        if is_prose:
            return [_claims(schema["items"]["items"], claims, 3, suggestions)]
        return _claims(schema["items"], claims, 5, suggestions)
    return {name: fill(inner, claims, suggestions) for name, inner in schema["properties"].items()}


def _claims(
    schema: Mapping[str, Any], claims: Iterator[dict[str, Any]], count: int, suggestions: Sequence[str]
) -> list[dict[str, Any]]:
    if "quotes" not in schema["properties"]:
        return [{"sentence": sentence} for sentence in suggestions]
    return list(itertools.islice(claims, count))
