"""*Why it matters*: the consequence for people who build with this."""

from newsletter.sections import SectionSpec
from newsletter.values import SectionShape

SPEC = SectionSpec(
    key="why_it_matters",
    heading="Why it matters",
    ask=(
        "One paragraph of two to four sentences: what a working engineer or researcher would do or believe "
        "differently after this piece. Start with the substance, never with 'If you' or 'This matters'."
    ),
    shape=SectionShape.PROSE,
    asked=1,
    published=1,
    least=1,
    needs_quotes=False,
)
