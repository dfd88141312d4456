"""Excerpts are whole sentences of the author's own that can be read without the rest of the text."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newsletter.sections import load
from newsletter.sentences import sentences
from newsletter.values import Piece, Section, Source, Summary, SummaryKind, TextOrigin
from newsletter.writers import Writer, WritingError
from newsletter.writers.excerpts import Excerpts, hangs_on_another, stands_alone

SPECS = load(["summary", "why_it_matters", "build", "takeaways"])
WRITER: Writer = Excerpts(SPECS)
SOURCE = Source("https://example.com/feed", "Example", "https://example.com/feed")

OPENING = [
    "Last spring my neighbour lent me a ladder that was two rungs short.",
    "He laughed about it for a week.",
    "Retrieval helps small models far more than large ones, and we measured by how much.",
    "We compare four language models with and without retrieval on 1,200 questions from a repair handbook.",
    "However, the handbook was new to all of them.",
]
METHOD = [
    "Each model answers every question twice, once from memory and once with three retrieved passages.",
    "This is the usual way to do it.",
    "Figure 2 shows the passages that the retriever found.",
    "As shown above, the passages are short.",
    "A language model that is given a wrong passage repeats its mistake in most of the answers we read.",
    "Is that surprising?",
]
RESULTS = [
    "Retrieval raises the accuracy of the smallest model from 31% to 58%, of the largest from 74% to 79%.",
    "We find that a wrong passage costs the large models more than no passage at all.",
    "They trust it.",
    "Questions with numbers in them improved by 22 points, more than any other kind of question.",
    "The retriever itself fails to find the right passage for one question in five.",
]
END = [
    "Our experiments cover one handbook in one language, so the numbers may not hold elsewhere.",
    "Developers of phone apps should try a handbook before they pay for anything else.",
    "Thanks to everyone who read a draft of this post.",
]
ESSAY = "\n\n".join(
    [
        " ".join(OPENING),
        "# How we measured. It took a week.",
        " ".join(METHOD),
        "- a list item without an end",
        "- Passages were cut to eighty words before a language model saw them.",
        "# Results",
        " ".join(RESULTS),
        "# Conclusion",
        " ".join(END),
        "# Appendix A",
        "Retrieval of language models with retrieval for small models measures retrieval of models by far.",
    ]
)


def piece(text: str, origin: TextOrigin = TextOrigin.FEED, title: str = "Retrieval for small models") -> Piece:
    return Piece(title, "https://example.com/1", SOURCE, text=text, origin=origin)


def section(summary: Summary, key: str) -> Section:
    return next(section for section in summary.sections if section.key == key)


def claimed(summary: Summary) -> list[str]:
    return [claim.sentence for part in summary.sections for block in part.blocks for claim in block]


def test_every_claim_is_a_whole_sentence_of_the_text_and_its_own_quote() -> None:
    summary = WRITER.write(piece(ESSAY))
    own = {sentence.text for sentence in sentences(ESSAY) if not sentence.is_heading}
    claims = [claim for part in summary.sections for block in part.blocks for claim in block]
    assert len(claims) >= 6
    assert all(claim.sentence in own and claim.quotes == (claim.sentence,) for claim in claims)


def test_a_summary_says_what_it_is_made_of() -> None:
    given_piece = piece(ESSAY)
    summary = WRITER.write(given_piece)
    assert (summary.kind, summary.writer, summary.model, summary.cost_usd) == (
        SummaryKind.EXCERPTS,
        "excerpts",
        "",
        0.0,
    )
    assert summary.words_read == summary.words_total == given_piece.words > 0
    assert summary.source_hash != WRITER.write(piece(ESSAY + " More.")).source_hash


def test_the_opening_is_a_few_sentences_in_the_order_of_the_text() -> None:
    opening = section(WRITER.write(piece(ESSAY)), "summary")
    picked = [claim.sentence for block in opening.blocks for claim in block]
    assert 3 <= len(picked) <= 6
    assert 50 <= opening.words <= 160
    assert 1 <= len(opening.blocks) <= 2
    assert picked == sorted(picked, key=ESSAY.index)


def test_the_opening_says_what_the_essay_is_about_and_not_how_it_begins() -> None:
    picked = claimed(WRITER.write(piece(ESSAY)))
    assert OPENING[2] in picked
    assert OPENING[0] not in picked


def test_takeaways_are_points_that_the_opening_does_not_make() -> None:
    summary = WRITER.write(piece(ESSAY))
    opening = section(summary, "summary")
    takeaways = section(summary, "takeaways")
    assert 2 <= len(takeaways.blocks) <= 3
    assert all(len(block) == 1 for block in takeaways.blocks)
    assert all(8 <= len(text.split()) <= 40 for text in takeaways.texts)
    assert not {claim.sentence for block in opening.blocks for claim in block} & set(takeaways.texts)


def test_why_it_matters_is_what_the_author_says_should_follow() -> None:
    assert section(WRITER.write(piece(ESSAY)), "why_it_matters").texts == (END[1],)


def test_sections_that_cannot_be_written_honestly_are_left_out() -> None:
    summary = WRITER.write(piece(ESSAY.replace(END[1], "")))
    assert [part.key for part in summary.sections] == ["summary", "takeaways"]
    assert all(part.blocks and all(block for block in part.blocks) for part in summary.sections)


def test_a_list_with_too_few_items_is_left_out() -> None:
    strict = tuple(replace(spec, least=4) if spec.key == "takeaways" else spec for spec in SPECS)
    assert "takeaways" not in [part.key for part in Excerpts(strict).write(piece(ESSAY)).sections]


def test_sections_come_in_the_order_and_with_the_headings_of_their_specs() -> None:
    summary = Excerpts(load(["takeaways", "summary"])).write(piece(ESSAY))
    assert [(part.key, part.heading) for part in summary.sections] == [
        ("takeaways", "Key takeaways"),
        ("summary", ""),
    ]


def test_no_list_of_takeaways_repeats_itself() -> None:
    twice = [
        "We find that retrieval raises accuracy on the handbook by 27 points for small models.",
        "We find that retrieval raises accuracy on the handbook by 27 points for a small model.",
    ]
    text = ESSAY.replace(RESULTS[1], " ".join(twice))
    assert len(set(twice) & set(claimed(WRITER.write(piece(text))))) <= 1


@pytest.mark.parametrize(
    "sentence",
    [
        "This makes small models much better at answering questions.",
        "However, small models are better at answering such questions.",
        "\u201cBut small models are better,\u201d said the reviewer of our first paper.",
        "It\u2019s the small models that profit most from retrieval here.",
        "In this case the small models profit most from retrieval.",
        "For example, small models profit most from retrieval of passages.",
        "Because of this, small models profit most from retrieval.",
        "Some of them profit more from retrieval than others do.",
        "(Small models profit most from retrieval of passages.)",
        "and small models profit most from retrieval of passages.",
        "Small models profit most, as Figure 3 makes clear to anyone.",
        "Small models profit most, as we saw in Section 4.2 already.",
        "The next section explains why small models profit most.",
        "As shown above, small models profit most from retrieval.",
        "Small models profit most from retrieval, as discussed below.",
        "Click here to see how small models profit from retrieval.",
        "Do small models profit most from retrieval of passages?",
        "Why do small models profit? They are small, said the author.",
        "Epistemic status: fairly sure that small models profit most.",
        "Thanks to Ada Example for comments on small models.",
        "We would like to thank Ada Example for comments on models.",
        "Published on 3 May by the group for small models.",
        "Figure 3: Small models profit most from retrieval of passages.",
        "By: Ada Example and the group for small models.",
        "Small models profit most (when retrieval finds a passage.",
        'Small models profit "most when retrieval finds a passage.',
        "Small models call `retrieve(query)` before each answer.",
        "The loss is $L(x) = x^2$ for the small models.",
        "Small models profit most, see https://example.com/models for all.",
        "Small models were studied before by, among others, and.",
        "Small models profit most from retrieval, but then...",
        "Small models profit most from retrieval:",
        "Key idea The small models profit most from retrieval.",
        "Take the small models and add retrieval of passages.",
        "2. Small models profit most from retrieval of passages.",
        "Jedoch profitieren kleine Modelle am meisten davon.",
        "Cependant, les petits modèles en profitent le plus.",
    ],
)
def test_a_sentence_that_needs_its_neighbours_or_is_not_of_the_matter_is_refused(sentence: str) -> None:
    assert not stands_alone(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "We show that small models profit most from retrieval.",
        "I may be wrong, but small models seem to profit most.",
        "Retrieval helps, and it helps small models (below 3B) most.",
        "Both retrieval and fine-tuning help small models.",
        "Rather than add parameters, we add retrieval to small models.",
        "This paper shows that small models profit most from retrieval.",
        "On 1,200 questions, accuracy rose from 31% to 58%.",
        "\u201cRetrieval\u201d means three passages of eighty words each.",
        "iPhones run small models that profit most from retrieval.",
        "Even small models answer most questions in section headings.",
        "Die kleinen Modelle profitieren am meisten davon.",
        "Les petits modèles en profitent le plus.",
        "小模型从检索中获益最多。",
    ],
)
def test_a_sentence_that_can_be_read_alone_is_accepted(sentence: str) -> None:
    assert stands_alone(sentence)


def test_no_excerpt_hangs_on_a_sentence_that_is_not_there() -> None:
    summary = WRITER.write(piece(ESSAY))
    assert not [sentence for sentence in claimed(summary) if hangs_on_another(sentence)]
    assert not summary.sections[0].texts[0].startswith(("This", "However"))


LEADS = ("", "", "This means that ", "However, ", "They show that ")


@settings(max_examples=40, deadline=None)
@given(st.permutations([*OPENING, *METHOD, *RESULTS, *END]), st.randoms(use_true_random=False))
def test_in_whatever_order_no_paragraph_begins_with_a_dangling_word(said: list[str], random: Random) -> None:
    turned = [
        f"{lead}{text[:1].lower()}{text[1:]}" if lead else text for text in said for lead in [random.choice(LEADS)]
    ]
    try:
        summary = WRITER.write(piece(" ".join(turned[:9]) + "\n\n" + " ".join(turned[9:])))
    except WritingError:
        return
    firsts = [block[0].sentence for part in summary.sections for block in part.blocks]
    assert not [sentence for sentence in firsts if hangs_on_another(sentence) or sentence.startswith(LEADS[2:])]
    assert all(sentence.endswith((".", "!")) for sentence in claimed(summary))


def test_back_matter_and_headings_are_never_picked() -> None:
    picked = " ".join(claimed(WRITER.write(piece(ESSAY))))
    assert "by far" not in picked
    assert "Thanks to" not in picked
    assert "How we measured" not in picked


def test_a_short_abstract_is_given_whole() -> None:
    text = "We test four models. However, one of them fails. This matters for small ones. Is it luck? It is not."
    summary = WRITER.write(piece(text, TextOrigin.ABSTRACT))
    assert [part.texts for part in summary.sections] == [(text,)]


def test_a_short_text_loses_what_is_cut_off_and_what_hangs_on_what_was_lost() -> None:
    text = "However, it was. We test four models on a handbook. It is new. Read more at https://example.com. The"
    summary = WRITER.write(piece(text, TextOrigin.DESCRIPTION))
    assert claimed(summary) == ["We test four models on a handbook.", "It is new."]


def test_a_long_abstract_is_cut_down() -> None:
    text = " ".join(OPENING[2:4] + METHOD[:1] + RESULTS[:2] + RESULTS[3:] + END[:2])
    summary = WRITER.write(piece(text, TextOrigin.ABSTRACT))
    assert len(text.split()) > 120
    assert section(summary, "summary").words <= 0.6 * len(text.split())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n\n ",
        "# Only a heading. With a stop.",
        "A title without an end",
        "And so it goes on and on.",
        "...",
        " ".join(["And this is not a sentence that could ever stand by itself."] * 40),
        "word " * 500,
    ],
)
def test_a_text_without_a_single_usable_sentence_is_an_error(text: str) -> None:
    with pytest.raises(WritingError, match="can be read by itself"):
        WRITER.write(piece(text))


def test_an_essay_in_another_language_or_script_is_excerpted_too() -> None:
    german = [f"Das {n}. Modell beantwortet {n + 20} Fragen zum Handbuch der Werkstatt richtig." for n in range(3, 30)]
    chinese = [f"第{n}个模型在手册的问题上回答正确的比例超过了百分之{n + 20}。" for n in range(3, 40)]
    assert len(claimed(WRITER.write(piece(" ".join(german), title="Modelle")))) >= 1
    assert len(claimed(WRITER.write(piece("".join(chinese), title="模型")))) >= 1


def test_the_fingerprint_changes_with_the_sections_and_with_nothing_else() -> None:
    assert Excerpts(SPECS).fingerprint() == Excerpts(SPECS).fingerprint()
    assert Excerpts(SPECS[:1]).fingerprint() != Excerpts(SPECS).fingerprint()
    assert Excerpts((replace(SPECS[0], published=1),)).fingerprint() != Excerpts(SPECS[:1]).fingerprint()


BLOCKS = st.lists(
    st.sampled_from([*OPENING, *METHOD, *RESULTS, *END, "# Results", "- An item.", "Why?", "e.g. (", "“Yes."])
    | st.text(max_size=30),
    max_size=40,
)


@settings(max_examples=60)
@given(BLOCKS, st.sampled_from([" ", "\n\n"]))
def test_whatever_the_text_excerpts_are_its_sentences_or_an_error(blocks: list[str], joint: str) -> None:
    text = joint.join(blocks)
    own = {sentence.text for sentence in sentences(text) if not sentence.is_heading}
    try:
        summary = WRITER.write(piece(text))
    except WritingError:
        return
    assert summary == WRITER.write(piece(text))
    assert set(claimed(summary)) <= own
    assert "build" not in [part.key for part in summary.sections]
    for part in summary.sections:
        spec = next(spec for spec in SPECS if spec.key == part.key)
        assert spec.least <= len(part.blocks) <= spec.published
        assert all(block for block in part.blocks)


def test_an_essay_of_14000_words_takes_a_fraction_of_a_second() -> None:
    stock = [*OPENING, *METHOD, *RESULTS, *END]
    varied = [f"{text[:-1]} in trial {n} of series {n % 7}{text[-1]}" for n in range(45) for text in stock]
    essay = piece("\n\n".join(" ".join(varied[at : at + 5]) for at in range(0, len(varied), 5)))
    assert essay.words > 14_000

    def seconds() -> float:
        began = time.perf_counter()
        WRITER.write(essay)
        return time.perf_counter() - began

    assert min(seconds() for _ in range(3)) < 0.6


@pytest.mark.parametrize("hostile", ["x$" * 100_000 + ".", "a, " * 60_000 + ".", "We " + "“(" * 50_000 + "x."])
def test_hostile_text_ends_soon(hostile: str) -> None:
    began = time.perf_counter()
    with pytest.raises(WritingError):
        WRITER.write(piece(hostile))
    assert time.perf_counter() - began < 2.0
