"""Identity, near-duplicates, first seen."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter import pieces
from newsletter.pieces import canonical_url, identified, identities, likeness, ordinals, sketch
from newsletter.store import Store
from newsletter.store.tables import PublicationRow
from newsletter.values import Piece, Source, TextOrigin
from tests.newsletter.makers import DAY, FORUM, MAGAZINE, piece, prose


@pytest.mark.parametrize(
    "url",
    [
        "http://forum.example.com/posts/1",
        "https://www.forum.example.com/posts/1/",
        "https://FORUM.example.com:443/posts/1#comments",
        "https://forum.example.com/posts/1?utm_source=rss&utm_medium=feed",
        "https://forum.example.com/posts/1?fbclid=abc",
        "  https://forum.example.com/posts/1  ",
    ],
)
def test_spellings_of_one_address_are_one(url: str) -> None:
    assert canonical_url(url) == "forum.example.com/posts/1"


def test_a_parameter_that_chooses_the_page_stays_in_any_order() -> None:
    assert (
        canonical_url("https://a.example/?p=7&x=1")
        == canonical_url("https://a.example/?x=1&p=7")
        == "a.example?p=7&x=1"
    )


@pytest.mark.parametrize(
    "url", ["https://[broken/x", "https://a.example:notaport/", "", "not a url", "https://a.example:99999/"]
)
def test_a_broken_address_still_names_its_piece(url: str) -> None:
    assert isinstance(canonical_url(url), str)


@given(
    st.from_regex(
        r"https?://(www\.)?[a-z]{1,8}\.example(:\d{2,4})?(/[A-Za-z0-9%._-]{0,8}){0,3}"
        r"(\?[a-z]{1,6}=[A-Za-z0-9 +%&=]{0,9})?",
        fullmatch=True,
    )
)
@example("http://a.example:8080//0")
def test_the_canonical_form_is_its_own_canonical_form(url: str) -> None:
    once = canonical_url(url)
    assert canonical_url(once) == once


@pytest.mark.parametrize(
    "url",
    [
        "https://www.alignmentforum.org/posts/j8fkk38B8L7hEcGtg/some-title",
        "https://www.lesswrong.com/posts/j8fkk38B8L7hEcGtg/another-title#comments",
        "https://forum.effectivealtruism.org/posts/j8fkk38B8L7hEcGtg",
        "https://www.lesswrong.com/s/sequence1234567/p/j8fkk38B8L7hEcGtg",
    ],
)
def test_three_forums_share_one_post(url: str) -> None:
    assert identities(piece(url=url))[0] == "lw:j8fkk38B8L7hEcGtg"


def test_the_same_path_on_another_host_is_no_forum_post() -> None:
    assert identities(piece(url="https://blog.example.com/posts/j8fkk38B8L7hEcGtg/x"))[0].startswith("url:")


@pytest.mark.parametrize(
    ("url", "guid"),
    [
        ("https://arxiv.org/abs/2508.13426v1", ""),
        ("https://arxiv.org/pdf/2508.13426v3.pdf", ""),
        ("https://export.arxiv.org/abs/2508.13426", ""),
        ("https://example.com/x", "oai:arXiv.org:2508.13426v2"),
        ("https://doi.org/10.48550/arXiv.2508.13426", ""),
    ],
)
def test_versions_and_forms_of_a_paper_are_one(url: str, guid: str) -> None:
    assert "arxiv:2508.13426" in identities(piece(url=url, guid=guid))


def test_a_guid_counts_only_with_its_host() -> None:
    one, other = piece(url="", guid="1"), piece(url="", guid="1", source=MAGAZINE)
    assert set(identities(one)).isdisjoint(identities(other))


def test_an_address_that_all_entries_share_names_none_of_them() -> None:
    reading = [piece(n, url="https://forum.example.com/", guid=f"g{n}") for n in (1, 2, 3)]
    assert len({p.identity for p, _ in identified(reading)}) == 3


def test_a_guid_that_all_entries_share_names_none_of_them() -> None:
    reading = [piece(n, guid="same") for n in (1, 2, 3)]
    names = [set(own) for _, own in identified(reading)]
    assert names[0].isdisjoint(names[1]) and names[1].isdisjoint(names[2])


def test_entries_with_nothing_but_one_shared_address_are_one_piece() -> None:
    reading = [piece(n, url="https://forum.example.com/a", guid="") for n in (1, 2)]
    assert len({p.identity for p, _ in identified(reading)}) == 1


@given(st.lists(st.sampled_from("abcdefgh"), min_size=30, max_size=80))
def test_a_text_is_wholly_like_itself(letters: list[str]) -> None:
    own = sketch(" ".join(letters))
    assert likeness(own, own) == 1.0


def test_likeness_is_near_the_share_of_common_shingles() -> None:
    common, ones, others = prose(700, 1), prose(300, 2), prose(300, 3)
    shared = likeness(sketch(common + " " + ones), sketch(common + " " + others))
    assert 0.4 < shared < 0.7  # 700 of 1,300 shingles


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Agents, Part I", "Agents, Part II"),
        ("Agents (1/3)", "Agents (2/3)"),
        ("Review of 2024", "Review of 2025"),
        ("Part one", "Part two"),
    ],
)
def test_parts_of_a_series_count_differently(one: str, other: str) -> None:
    assert ordinals(one) != ordinals(other)


@pytest.mark.parametrize("title", ["I changed my mind", "Mix of experts", "If I were you"])
def test_words_that_look_like_numerals_do_not_count(title: str) -> None:
    assert ordinals(title) == ()


def _store(store: Store, *reading: Piece, now: dt.datetime = DAY) -> pieces.Stored:
    with store.write() as session:
        return pieces.store(session, identified(reading), now)


def test_a_piece_is_stored_once_however_it_is_named_again(store: Store) -> None:
    assert len(_store(store, piece(1)).new) == 1
    again = [
        piece(1, title="A new title for the same old address"),
        piece(1, url="https://forum.example.com/posts/1?utm_source=x", guid="another"),
        piece(1, url="https://forum.example.com/moved/1", title="Moved"),
    ]
    for variant in again:
        result = _store(store, variant)
        assert (result.new, result.known) == ([], 1)


def test_the_links_of_a_known_piece_grow(store: Store) -> None:
    _store(store, piece(1, guid="a"))
    _store(store, piece(1, guid="b"))
    assert _store(store, piece(1, url="https://elsewhere.example.com/", guid="b")).known == 1


def test_a_near_duplicate_in_another_source_merges_and_is_found_again(store: Store) -> None:
    first = piece(1)
    twin = piece(
        2,
        source=MAGAZINE,
        url="https://magazine.example.org/x",
        guid="m1",
        title=first.title,
        text=first.text + " A last word.",
    )
    _store(store, first)
    merged = _store(store, twin)
    assert [(new.title, old.id) for new, old in merged.merged] == [(first.title, 1)]
    assert _store(store, twin).known == 1


def test_two_parts_with_much_text_in_common_stay_two(store: Store) -> None:
    text = prose(600, 9)
    result = _store(
        store,
        piece(1, title="Agents, Part I", text=text),
        piece(2, title="Agents, Part II", text=text + prose(60, 10)),
    )
    assert len(result.new) == 2


def test_the_same_title_and_author_in_another_source_is_one_piece(store: Store) -> None:
    _store(store, piece(1, title="What sparse probes can and cannot see"))
    other = piece(
        2,
        source=MAGAZINE,
        title="What Sparse Probes Can and Cannot See",
        text=prose(80, 5),
        origin=TextOrigin.DESCRIPTION,
    )
    assert len(_store(store, other).merged) == 1


def test_the_same_title_by_somebody_else_is_another_piece(store: Store) -> None:
    _store(store, piece(1, title="What sparse probes can and cannot see"))
    other = piece(2, title="What sparse probes can and cannot see", authors=("Grace Other",), text=prose(600, 5))
    assert len(_store(store, other).new) == 1


def test_a_fragment_gets_the_whole_text_that_another_source_has(store: Store) -> None:
    title = "What sparse probes can and cannot see"
    _store(store, piece(1, title=title, text=prose(40, 1), origin=TextOrigin.DESCRIPTION))
    _store(store, piece(2, title=title, source=MAGAZINE))
    with store.read() as session:
        assert pieces.by_ids(session, [1])[1].words == piece(2).words


def test_candidates_are_what_no_issue_has_published(store: Store) -> None:
    _store(store, piece(1), piece(2))
    with store.write() as session:
        from newsletter.store.tables import IssueRow

        session.add(IssueRow(date=DAY.date(), title="x", state="frozen", input_hash="", created_at=DAY, selection={}))
        session.flush()
        session.add(PublicationRow(piece_id=1, issue_id=1))
    with store.read() as session:
        assert [c.piece.id for c in pieces.candidates(session, DAY, 30)] == [2]


def test_a_piece_that_reaches_us_late_is_a_candidate(store: Store) -> None:
    _store(store, piece(1, published=DAY - dt.timedelta(days=20)))
    with store.read() as session:
        assert len(pieces.candidates(session, DAY, 30)) == 1


def test_a_candidate_names_the_other_sources_that_carry_it(store: Store) -> None:
    first = piece(1)
    _store(store, first)
    _store(
        store,
        replace(
            piece(2, source=MAGAZINE, url="https://magazine.example.org/x", guid="m1"),
            text=first.text,
            title=first.title,
        ),
    )
    with store.read() as session:
        assert [c.also_in for c in pieces.candidates(session, DAY, 30)] == [("The Magazine",)]


def test_a_piece_comes_back_from_the_database_as_it_went_in(store: Store) -> None:
    given = piece(1, categories=("a", "b"), note="n", source=Source(FORUM.key, FORUM.name, FORUM.key))
    stored = _store(store, given).new[0]
    with store.read() as session:
        assert pieces.by_ids(session, [1])[1] == stored == replace(given, identity=stored.identity)


SKETCH = st.lists(st.integers(0, 400), min_size=1, max_size=260, unique=True)


@given(SKETCH, SKETCH, st.lists(st.integers(401, 700), max_size=150, unique=True))
def test_sketches_of_like_texts_have_one_of_their_telling_hashes_in_common(
    one: list[int], other: list[int], shared: list[int]
) -> None:
    first, second = (tuple(sorted({*own, *shared, *one})[: pieces.SKETCH_SIZE]) for own in (one, other))
    if likeness(first, second) >= pieces.ALIKE:
        assert set(first[: pieces.TELLING]) & set(second[: pieces.TELLING])


def test_pieces_with_the_same_teaser_are_pieces_of_their_own(store: Store) -> None:
    teaser = "Read the whole story at our site, and tell us in the comments what you think of it."
    given = [
        piece(n, title=f"{name} finds a way", text=teaser, identity="") for n, name in enumerate(("Ada", "Bo", "Cy"))
    ]
    with store.write() as session:
        stored = pieces.store(session, identified(given), DAY)
    assert len(stored.new) == 3 and not stored.merged


def test_a_twin_is_found_among_hundreds_of_pieces(store: Store) -> None:
    crowd = [
        piece(n, title=f"Observation of the star {chr(65 + n // 26)}{chr(97 + n % 26)}", identity="")
        for n in range(300)
    ]
    late = piece(900, title="Something else entirely", text=crowd[150].text, source=MAGAZINE, identity="", guid="g")
    with store.write() as session:
        pieces.store(session, identified(crowd), DAY)
        stored = pieces.store(session, identified([late]), DAY)
    assert [twin.title for _, twin in stored.merged] == [crowd[150].title]


@pytest.mark.parametrize("guid", ["http://[x/", "http://example.com:port/1", "https://[::1", "//[", "http://\x00"])
def test_a_guid_that_looks_like_a_broken_address_names_its_piece_all_the_same(guid: str) -> None:
    made = piece(1, guid=guid, source=replace(FORUM, url="http://[x/feed"))
    assert any(name.startswith("guid:") for name in identities(made))
    assert len(identified([made, piece(2)])) == 2
