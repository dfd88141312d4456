"""What was said of a piece after its issue came out: notes, and withdrawals."""

import sqlalchemy as sa
from alembic import op

from subscribers import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of corrections."""
    op.create_table(
        "correction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("piece_id", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["issue_id"],
            ["issue.id"],
        ),
        sa.ForeignKeyConstraint(
            ["piece_id"],
            ["piece.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_correction_issue_id"), "correction", ["issue_id"], unique=False)
