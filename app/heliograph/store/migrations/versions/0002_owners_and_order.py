"""Messages name the replica that writes them; channels count their changes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_IN_FLIGHT = sa.text("state = 'streaming'")


def upgrade() -> None:
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_messages_state"))
        batch_op.add_column(sa.Column("owner", sa.String(length=64), nullable=True))
        batch_op.create_index(
            "ix_messages_in_flight",
            ["chat_id", "owner"],
            unique=False,
            postgresql_where=_IN_FLIGHT,
            sqlite_where=_IN_FLIGHT,
        )
    with op.batch_alter_table("channels", schema=None) as batch_op:
        batch_op.add_column(sa.Column("seq", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("channels", schema=None) as batch_op:
        batch_op.drop_column("seq")
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.drop_index("ix_messages_in_flight")
        batch_op.drop_column("owner")
        batch_op.create_index(batch_op.f("ix_messages_state"), ["state"], unique=False)
