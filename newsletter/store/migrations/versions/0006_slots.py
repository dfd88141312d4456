"""Kinds of issues, slots that no issue came of, approvals, and since when a reader's frequency is what it is."""

import sqlalchemy as sa
from alembic import op

from subscribers import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add them."""
    op.add_column("issue", sa.Column("kind", sa.String(), nullable=False, server_default="every"))
    op.add_column("subscriber", sa.Column("frequency_since", UtcDateTime(), nullable=True))
    op.create_table(
        "empty_slot",
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("decided_at", UtcDateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_table(
        "approval",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("input_hash", sa.String(), nullable=False),
        sa.Column("approve_by", UtcDateTime(), nullable=True),
        sa.Column("approved_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["issue_id"],
            ["issue.id"],
        ),
        sa.PrimaryKeyConstraint("issue_id"),
    )
