"""*What you can build with this*: a suggestion of ours, which ascribes nothing to the source."""

from newsletter.sections import SectionSpec
from newsletter.values import SectionShape

SPEC = SectionSpec(
    key="build",
    heading="What you can build with this",
    ask=(
        "One paragraph: a concrete thing that one person could build in a week from the idea, with data, tools and "
        "what to measure. It is our suggestion: ascribe nothing to the authors or to the piece."
    ),
    shape=SectionShape.PROSE,
    asked=1,
    published=1,
    least=1,
    needs_quotes=False,
    is_suggestion=True,
)
