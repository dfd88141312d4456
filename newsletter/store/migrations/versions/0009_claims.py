"""The index on who holds a delivery goes: it was written to three times for each mail, and asked once in a sending."""

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Drop it; the index on an issue's deliveries by state finds them as well."""
    op.drop_index("ix_delivery_claim", table_name="delivery")
