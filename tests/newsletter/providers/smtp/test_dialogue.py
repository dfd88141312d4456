"""Facts about what is said to a mail server and what its replies mean, however they come; no socket is open here."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newsletter.providers import Accepted, InDoubt, Outcome, Refused
from newsletter.providers.smtp.dialogue import LONGEST_REPLY, Broken, Dialogue, Lost, Parcel, Replies, Reply

PARCEL = Parcel("1-1", "digest@example.com", "ada@example.com", b"Subject: An issue\r\n\r\nText\r\n")
GO_ON = [Reply(250, "Ok"), Reply(250, "Ok"), Reply(354, "go on")]
TAKEN = Reply(250, "2.0.0 Ok: queued as 4Xy")


def _dialogue(*extensions: str) -> Dialogue:
    return Dialogue(extensions, 7.0)


def _play(dialogue: Dialogue, replies: list[Reply | Broken]) -> tuple[Outcome, list[bytes]]:
    """What a delivery comes to when the server answers so, and what was said in it."""
    talk, said = dialogue.deliver(PARCEL), list[bytes]()
    try:
        said.append(next(talk).data)
        for reply in replies:
            say = talk.throw(reply) if isinstance(reply, Broken) else talk.send(reply)
            said.append(say.data)
    except StopIteration as end:
        return end.value, said
    raise AssertionError("the delivery waits for more")


# Replies


def _all(chunks: list[bytes]) -> list[Reply]:
    replies, found = Replies(), list[Reply]()
    for chunk in chunks:
        replies.feed(chunk)
        while reply := replies.take():
            found.append(reply)
    return found


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        (b"250 Ok\r\n", Reply(250, "Ok")),
        (b"250\r\n", Reply(250, "")),
        (b"250-one\r\n250-two\r\n250 three\r\n", Reply(250, "one two three")),
        (b"550 5.1.1 <ada@example.com>:\r\n", Reply(550, "5.1.1 <ada@example.com>:")),
        (b"250 no return\n", Reply(250, "no return")),
        (b"<html>\r\n", Reply(-1, "l>")),
        (b"\r\n", Reply(-1, "")),
        (b"25\r\n", Reply(-1, "")),
        ("250 für später\r\n".encode(), Reply(250, "für später")),
        (b"250 \xff\r\n", Reply(250, "\N{REPLACEMENT CHARACTER}")),
    ],
)
def test_a_reply_is_its_code_and_its_text_on_one_line(sent: bytes, reply: Reply) -> None:
    assert _all([sent]) == [reply]


@given(
    st.lists(st.tuples(st.integers(200, 599), st.lists(st.from_regex(r"[a-z ]{0,9}", fullmatch=True), min_size=1))),
    st.lists(st.integers(0, 300)),
)
def test_it_does_not_matter_in_which_pieces_replies_come(given: list[tuple[int, list[str]]], cuts: list[int]) -> None:
    data = "".join(
        "".join(f"{code}{' ' if place == len(texts) - 1 else '-'}{text}\r\n" for place, text in enumerate(texts))
        for code, texts in given
    ).encode()
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunks = [data[start:end] for start, end in itertools.pairwise(places)]
    assert _all(chunks) == [Reply(code, " ".join(" ".join(texts).split())) for code, texts in given]


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_whatever_a_server_sends_makes_replies_of_one_line(chunks: list[bytes]) -> None:
    for reply in _all(chunks):
        assert -1 <= reply.code <= 999 and reply.text == " ".join(reply.text.split())


def test_a_reply_without_an_end_is_cut() -> None:
    assert _all([b"250-" + b"x" * LONGEST_REPLY]) == [Reply(-1, "a reply without end")]
    assert _all([b"250-more and more\r\n"] * (LONGEST_REPLY // 15))[0] == Reply(-1, "a reply without end")


# Deliveries


def test_with_pipelining_the_commands_leave_together() -> None:
    outcome, said = _play(_dialogue("pipelining"), [*GO_ON, TAKEN])
    assert outcome == Accepted("1-1", "4Xy")
    assert said == [
        b"MAIL FROM:<digest@example.com>\r\nRCPT TO:<ada@example.com>\r\nDATA\r\n",
        b"",
        b"",
        PARCEL.data + b".\r\n",
    ]


def test_without_pipelining_each_command_waits_for_the_reply_to_the_one_before() -> None:
    outcome, said = _play(_dialogue(), [*GO_ON, TAKEN])
    assert outcome == Accepted("1-1", "4Xy")
    assert said[:3] == [b"MAIL FROM:<digest@example.com>\r\n", b"RCPT TO:<ada@example.com>\r\n", b"DATA\r\n"]


def test_a_message_is_never_sent_to_a_server_that_refused_the_reader_but_granted_data() -> None:
    replies: list[Reply | Broken] = [GO_ON[0], Reply(550, "no such mailbox"), GO_ON[2], Reply(554, "none"), GO_ON[0]]
    dialogue = _dialogue("pipelining")
    outcome, said = _play(dialogue, replies)
    assert outcome == Refused("1-1", "550 no such mailbox")
    assert said[3:] == [b".\r\n", b"RSET\r\n"]
    assert dialogue.is_open


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("has_left", [True, False])
@pytest.mark.parametrize("extensions", [(), ("pipelining",)])
def test_a_message_is_in_doubt_only_once_all_of_it_has_left(
    place: int, has_left: bool, extensions: tuple[str, ...]
) -> None:
    dialogue = _dialogue(*extensions)
    replies: list[Reply | Broken] = [*GO_ON[:place], Broken("reset by peer", has_left=has_left)]
    if place == 3 and has_left:
        assert isinstance(_play(dialogue, replies)[0], InDoubt)
    else:
        with pytest.raises(Lost, match="before the message was handed over: reset by peer"):
            _play(dialogue, replies)
    assert not dialogue.is_open


def test_the_server_may_take_longer_over_a_whole_message_than_over_a_command() -> None:
    talk = _dialogue("pipelining").deliver(PARCEL)
    waits = [next(talk).seconds, *(talk.send(reply).seconds for reply in GO_ON)]
    assert waits == [7.0, 7.0, 7.0, 35.0]


@given(st.lists(st.builds(Reply, st.integers(-1, 999), st.just("words")), min_size=8, max_size=8))
def test_whatever_a_server_answers_a_message_ends_in_an_outcome_and_is_sent_once_at_most(replies: list[Reply]) -> None:
    dialogue = _dialogue("pipelining")
    talk, said = dialogue.deliver(PARCEL), list[bytes]()
    try:
        said.append(next(talk).data)
        for reply in replies:
            said.append(talk.send(reply).data)
    except StopIteration as end:
        assert isinstance(end.value, Outcome)
    except Exception as error:
        assert type(error).__name__ in {"Lost", "NotAllowed"}
    else:
        raise AssertionError("it goes on and on")
    assert said.count(PARCEL.data + b".\r\n") == (replies[:3] == GO_ON or all(map(_goes_on, replies[:3], range(3))))


def _goes_on(reply: Reply, place: int) -> bool:
    return reply.code == 354 if place == 2 else 200 <= reply.code < 300
