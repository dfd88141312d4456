"""*Key takeaways*: five are asked for, the best three that hold are published, two are allowed."""

from newsletter.sections import SectionSpec
from newsletter.values import SectionShape

SPEC = SectionSpec(
    key="takeaways",
    heading="Key takeaways",
    ask=(
        "Five list items of one sentence each, the most useful first: a result with its number, a condition under "
        "which it holds, a limit. No item repeats another or the opening."
    ),
    shape=SectionShape.LIST,
    asked=5,
    published=3,
    least=2,
)
