"""How many deliveries the freeze of an issue wrote, so that a lost one is noticed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the number; of what is out already, those that there are count."""
    op.add_column("sending", sa.Column("audience", sa.Integer(), nullable=False, server_default="0"))
    op.execute(
        "UPDATE sending SET audience = (SELECT count(*) FROM delivery WHERE delivery.issue_id = sending.issue_id)"
    )
