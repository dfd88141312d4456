"""What was reported about deliveries after the provider took them."""

import sqlalchemy as sa
from alembic import op

from subscribers import UtcDateTime

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table of events."""
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("ref", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("heard_at", UtcDateTime(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["delivery.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("ref"),
    )
    op.create_index("ix_event_kind", "event", ["kind", "delivery_id"], unique=False)
    op.create_index(op.f("ix_event_delivery_id"), "event", ["delivery_id"], unique=False)
