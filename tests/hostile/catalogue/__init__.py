"""All that a hostile publisher is known to do, by subject."""

from tests.hostile.catalogue import addresses, answers, encodings, markup, pages, texts, times, wires

BEHAVIOURS = (
    *addresses.BEHAVIOURS,
    *wires.BEHAVIOURS,
    *markup.BEHAVIOURS,
    *encodings.BEHAVIOURS,
    *times.BEHAVIOURS,
    *answers.BEHAVIOURS,
    *texts.BEHAVIOURS,
    *pages.BEHAVIOURS,
)
