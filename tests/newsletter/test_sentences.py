"""Light text is cut into whole sentences, and nothing of it is lost."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from newsletter.sentences import (
    ParagraphKind,
    content_words,
    paragraphs,
    reading_words,
    sentences,
    split,
    words,
)

CUTS = [
    pytest.param(["One thing.", "Another thing!"], id="plain stops"),
    pytest.param(["We used GPT-4.", "The rest ran on two machines."], id="a name that ends in a digit"),
    pytest.param(["It costs 3.14 dollars.", "It rose by 0.5 per cent."], id="decimals"),
    pytest.param(["See e.g. Smith et al. (2019) and cf. Fig. 3 for more.", "Then stop."], id="abbreviations"),
    pytest.param(["Loss vs. accuracy, i.e. what Dr. Moore measured.", "The end."], id="abbreviations before names"),
    pytest.param(["This was shown by Hall et al.", "We repeat it."], id="an abbreviation that ends a sentence"),
    pytest.param(["A. Turner met J. K. Hall in the U.S.", "The U.S. Senate agreed."], id="initials and countries"),
    pytest.param(["We chose plan B.", "The other plan was worse."], id="a letter that ends a sentence"),
    pytest.param(
        ["He said no.", "Then he wrote no. 5 on the door."],
        id="a word that is an abbreviation before numbers",
    ),
    pytest.param(["We built an app.", "It ran."], id="a word that looks like an abbreviation"),
    pytest.param(["Well... it works.", "Really…", "Yes."], id="dots that go on and dots that end"),
    pytest.param(["“Is it done?” he asked.", "“No.”", "Then he left."], id="quotations"),
    pytest.param(['She said "stop now."', 'Then she said "go."'], id="a quotation mark after the stop"),
    pytest.param(["It works (we tried. Twice.) on both.", "(It failed once.)", "Then it worked."], id="brackets"),
    pytest.param(["Read https://example.com/a.b?c=d.", "Then come back."], id="an address"),
    pytest.param(["What?!", "No way.", "Why?"], id="two marks"),
    pytest.param(["It was known.[12]", "It was forgotten.[3, 4]", "So be it."], id="marks of notes"),
    pytest.param(["First came iOS.", "iPhones came later."], id="a name with a small first letter"),
    pytest.param(["1. Take it.", "2. Leave it."], id="numbers of a list"),
    pytest.param(["In 2019.", "That year was good."], id="a year before a stop"),
    pytest.param(
        ["Am 3. Oktober kam z. B. der Zug.", "Im 19. Jahrhundert nicht, vgl. Abb. 2.", "Er ging."],
        id="German",
    ),
    pytest.param(["Er sagte: „Nein. Nie.“", "Dann ging er."], id="a German quotation"),
    pytest.param(["Il est venu.", "« Pourquoi ? » demanda M. Dupont.", "Voilà !"], id="French"),
]


@pytest.mark.parametrize("expected", CUTS)
def test_a_paragraph_is_cut_where_a_reader_would_cut_it(expected: list[str]) -> None:
    assert split(" ".join(expected)) == expected


def test_scripts_without_capitals_and_spaces_are_cut_at_their_own_stops() -> None:
    assert split("今天很好。我们走吧\uff01为什么\uff1f好。") == [
        "今天很好。",
        "我们走吧\uff01",
        "为什么\uff1f",
        "好。",
    ]
    assert split("彼は「すごい\uff01」と言った。帰った。") == ["彼は「すごい\uff01」と言った。", "帰った。"]
    assert split("هل هذا جيد\u061f نعم. شكرا.") == ["هل هذا جيد\u061f", "نعم.", "شكرا."]


def test_headings_are_whole_and_list_items_lose_their_marker() -> None:
    found = sentences("# What is it? A tool.\n\nIt cuts. It counts.\n\n- First point. More.\n\n- Second")
    assert [(s.text, s.is_heading, s.is_list_item) for s in found] == [
        ("What is it? A tool.", True, False),
        ("It cuts.", False, False),
        ("It counts.", False, False),
        ("First point.", False, True),
        ("More.", False, True),
        ("Second", False, True),
    ]


def test_a_sentence_knows_its_place_in_the_text_and_in_its_paragraph() -> None:
    found = sentences("One. Two.\n\n\n\nThree.")
    assert [(s.index, s.paragraph, s.place) for s in found] == [(0, 0, 0), (1, 0, 1), (2, 1, 0)]


def test_words_keep_numbers_and_compounds_whole() -> None:
    assert words("It\u2019s 3.14 (GPT-4) in 今天!") == ["it's", "3.14", "gpt-4", "in", "今", "天"]


def test_content_words_compare_over_plural_and_possession() -> None:
    assert content_words("The models' studies, and a model's study of bias") == [
        "model",
        "study",
        "model",
        "study",
        "bias",
    ]


def test_reading_words_count_two_characters_without_spaces_as_one_word() -> None:
    assert reading_words("Two words \u2013 and three.") == 4
    assert reading_words("今天很好。") == 2


LIGHT_TEXT = st.lists(
    st.sampled_from(
        [". ", "? ", "! ", "... ", "e.g. ", "A. ", "(", ")", "“", "”", '"', "\n\n", "# ", "- ", "Dr. ", "3. "]
    )
    | st.text(max_size=8),
    max_size=40,
).map("".join)


@given(LIGHT_TEXT)
@example("A. (B. C.\n\n# D. E\n\n- ")
@example("“a. B”) c. „D. E“ f")
def test_no_character_but_white_space_and_markers_is_lost(text: str) -> None:
    found = sentences(text)
    bodies = paragraphs(text)
    for paragraph in bodies:
        own = [s.text for s in found if s.paragraph == paragraph.index]
        assert "".join("".join(own).split()) == "".join(paragraph.text.split())
    unmarked = "".join(
        {"prose": "", "heading": "#", "item": "-"}[paragraph.kind] + paragraph.text for paragraph in bodies
    )
    assert "".join(unmarked.split()) == "".join(text.split())


@given(LIGHT_TEXT)
def test_every_sentence_is_a_substring_of_its_paragraph_without_space_around_it(text: str) -> None:
    bodies = paragraphs(text)
    for sentence in sentences(text):
        assert sentence.text in bodies[sentence.paragraph].text
        assert sentence.text == sentence.text.strip() != ""


@given(LIGHT_TEXT)
def test_cutting_is_the_same_every_time_and_headings_are_never_cut(text: str) -> None:
    found = sentences(text)
    assert found == sentences(text)
    headings = [paragraph.text for paragraph in paragraphs(text) if paragraph.kind is ParagraphKind.HEADING]
    assert [s.text for s in found if s.is_heading] == headings


@pytest.mark.parametrize(
    "hostile",
    ["." * 200_000 + "x", "a. " * 70_000, "(" * 100_000 + "a. B.", '" ' * 100_000, "x" * 200_000 + ". Y."],
    ids=["dots", "initials", "brackets", "quotation marks", "one long word"],
)
def test_hostile_text_takes_time_in_proportion_to_its_length(hostile: str) -> None:
    began = time.perf_counter()
    sentences(hostile)
    assert time.perf_counter() - began < 2.0
