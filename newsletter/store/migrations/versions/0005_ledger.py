"""How a sending stands, when readers of a time zone are due, the ledger's name, and when a delivery may be tried."""

import secrets

import sqlalchemy as sa
from alembic import op

from subscribers import UtcDateTime

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make three tables, and have every delivery say when it may be tried."""
    op.create_table(
        "audience_hour",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"]),
        sa.PrimaryKeyConstraint("issue_id", "time_zone"),
    )
    op.create_table(
        "sending",
        sa.Column("issue_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("held_until", UtcDateTime(), nullable=True),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("trouble", sa.Text(), nullable=False),
        sa.Column("trouble_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["issue_id"], ["issue.id"]),
        sa.PrimaryKeyConstraint("issue_id"),
    )
    op.execute(
        "INSERT INTO sending (issue_id, state, held, trouble) "
        "SELECT id, 'going', 0, '' FROM issue WHERE state = 'frozen'"
    )
    ledger = op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("handed", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.bulk_insert(ledger, [{"id": 1, "name": secrets.token_hex(8), "handed": 0}])
    op.execute("UPDATE delivery SET try_at = due_at WHERE try_at IS NULL")
    op.drop_index("ix_delivery_due", table_name="delivery")
    op.create_index("ix_delivery_due", "delivery", ["issue_id", "state", "try_at", "id"], unique=False)
