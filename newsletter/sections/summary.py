"""The opening of a summary: what the piece says, in one or two paragraphs."""

from newsletter.sections import SectionSpec
from newsletter.values import SectionShape

SPEC = SectionSpec(
    key="summary",
    heading="",
    ask=(
        "One or two paragraphs of three to five sentences: who did or argues what, how, and what came out. "
        "Name the authors. Keep every hedge, limit and negative result that the piece states."
    ),
    shape=SectionShape.PROSE,
    asked=2,
    published=2,
    least=1,
)
