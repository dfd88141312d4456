"""Alembic's way into our migrations: on the connection that `newsletter.store` hands in, inside its transaction."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None, transactional_ddl=False)
context.run_migrations()
