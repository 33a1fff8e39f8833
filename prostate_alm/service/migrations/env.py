"""How alembic reaches the database: the service hands its connection over."""

from alembic import context

from prostate_alm.service.tables import Table

context.configure(connection=context.config.attributes["connection"], target_metadata=Table.metadata)
with context.begin_transaction():
    context.run_migrations()
