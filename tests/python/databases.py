"""Makes and drops databases of the tests."""

import psycopg
from psycopg import sql
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from loaders.settings import Settings


@retry(
    retry=retry_if_exception_type(psycopg.errors.InsufficientPrivilege),
    stop=stop_after_delay(30),
    wait=wait_fixed(0.2),
    reraise=True,
)
def drop_database(settings: Settings, name: str) -> None:
    """Drop it, if it is there; an autovacuum worker in it can't be ended by us, only waited for."""
    with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


def create_database(settings: Settings, name: str, template: str = "template1") -> None:
    """Create it, empty or as a copy of another, to which nobody may be connected."""
    with psycopg.connect(**settings.postgres("postgres"), autocommit=True) as admin:
        admin.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )
