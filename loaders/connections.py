"""Connections to MongoDB and Postgres, and what their errors mean in one line.

`readable_errors()` is the only place that translates a driver's exception: wrap whatever talks to
a server in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
import pymongo
from psycopg import errors as pg
from pymongo import errors as mongo
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from loaders.errors import ServerUnreachableError, UserError
from loaders.settings import Settings, SettingsError

CONNECT_TIMEOUT_SECONDS = 10
# MongoDB's numbers of the errors told apart here
UNAUTHORIZED, AUTHENTICATION_FAILED, CURSOR_NOT_FOUND, CURSOR_KILLED = 13, 18, 43, 237


def open_postgres(
    settings: Settings, database: str | None = None, *, autocommit: bool = False
) -> psycopg.Connection:
    """Connect to the warehouse. Sessions run in UTC, and end soon after their client was killed.

    Raises:
        ServerUnreachableError: nothing listens there.
        UserError: wrong password, or no such database or role.
    """
    with readable_errors():
        conn = psycopg.connect(
            **settings.postgres(database),
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="ledgerline loader",
        )
        # Tables are looked at before they are merged; a few thousand rows tell enough for that, and
        # autovacuum looks more closely later.
        conn.execute("set timezone to 'UTC'; set default_statistics_target to 20")
        with suppress(psycopg.Error):  # a server on Windows can't
            conn.execute("set client_connection_check_interval to 1000")
        conn.autocommit = autocommit
        return conn


def open_mongodb(settings: Settings) -> Database[dict[str, Any]]:
    """Connect to the shop's MongoDB database and ask it for a sign of life.

    Close it with `database.client.close()`.

    Raises:
        ServerUnreachableError: nothing listens there.
        UserError: the URI is no URI, or the password is wrong.
    """
    with readable_errors():
        uri = settings.mongodb()
        options: dict[str, Any] = {"appname": "ledgerline"}
        for name in ("serverSelectionTimeoutMS", "connectTimeoutMS"):
            if name.lower() not in uri.lower():  # the URI's own word counts
                options[name] = CONNECT_TIMEOUT_SECONDS * 1000
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(uri, **options)
        try:
            client.admin.command("ping")
        except BaseException:
            client.close()
            raise
        return client[settings.mongodb_database]


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the drivers' errors that a user can mend into `UserError`; let the rest through."""
    try:
        yield
    except SettingsError as error:
        raise UserError(str(error)) from error
    except psycopg.Error as error:
        raise _postgres_error(error) from error
    except mongo.PyMongoError as error:
        raise _mongodb_error(error) from error


def _postgres_error(error: psycopg.Error) -> Exception:
    text = one_line(error)
    match error:
        case pg.DiskFull():
            return UserError(
                f"Postgres has no disk space left ({text}): free some and run again; "
                "the load was undone as a whole"
            )
        case pg.InsufficientPrivilege():
            return UserError(
                f"the Postgres role lacks a right ({text}): it must be allowed to create the "
                "schemas raw and ops in its database, or own them"
            )
        case pg.InvalidPassword() | pg.InvalidAuthorizationSpecification():
            return _wrong_postgres_login(text)
        case pg.InvalidCatalogName():
            return _no_postgres_database(text)
        case pg.OperationalError():
            # an error while connecting has no SQLSTATE: only libpq's words tell the cases apart
            if "password authentication failed" in text or "no password supplied" in text:
                return _wrong_postgres_login(text)
            if re.search(r'database "[^"]*" does not exist', text):
                return _no_postgres_database(text)
            if re.search(r'role "[^"]*" does not exist', text):
                return _wrong_postgres_login(text)
            return ServerUnreachableError(
                f"Postgres can't be reached ({text}): start it (`make up` for the sandbox) "
                "or correct POSTGRES_HOST and POSTGRES_PORT"
            )
    return error


def _wrong_postgres_login(text: str) -> UserError:
    return UserError(
        f"Postgres refused the login ({text}): correct POSTGRES_USER and POSTGRES_PASSWORD"
    )


def _no_postgres_database(text: str) -> UserError:
    return UserError(f"Postgres has no such database ({text}): create it or correct POSTGRES_DB")


def _mongodb_error(error: mongo.PyMongoError) -> Exception:
    text = one_line(error)
    match error:
        case mongo.InvalidURI() | mongo.ConfigurationError():
            return UserError(
                f"MONGODB_URI is not a usable URI ({text}): "
                "write it as mongodb://user:password@host:27017/?authSource=admin"
            )
        case mongo.OperationFailure(code=code) if code == AUTHENTICATION_FAILED:
            return UserError(
                f"MongoDB refused the login ({text}): correct user, password and authSource "
                "in MONGODB_URI"
            )
        case mongo.OperationFailure(code=code) if code == UNAUTHORIZED:
            return UserError(
                f"the MongoDB user lacks a right ({text}): grant it the role `read` on the database"
            )
        case mongo.OperationFailure(code=code) if code in (CURSOR_NOT_FOUND, CURSOR_KILLED):
            return ServerUnreachableError(
                f"MongoDB dropped the cursor while it was read ({text}): run again; "
                "the load was undone as a whole"
            )
        case mongo.ConnectionFailure() | mongo.WaitQueueTimeoutError():
            return ServerUnreachableError(
                f"MongoDB can't be reached ({text}): start it (`make up` for the sandbox) "
                "or correct MONGODB_URI"
            )
    return error


def one_line(error: Exception) -> str:
    """The driver's message in one short line, without topologies and without data of documents."""
    # Postgres' details and context quote the row; its primary message doesn't
    primary = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    text = " ".join((primary or str(error)).split())
    text = re.sub(r", Timeout: .*|, Topology Description: .*|, full error: .*", "", text)
    text = re.sub(r"\(configured timeouts: [^)]*\)", "", text)
    text = re.sub(r'connection to server at "([^"]*)", port (\d+) failed: ', r"\1:\2: ", text)
    return text.strip().rstrip(".")[:300]


def describe_mongodb(settings: Settings) -> str:
    """`host:port/database` of the source for messages: never its user or password."""
    nodes = parse_uri(settings.mongodb(), validate=False, warn=False)["nodelist"]
    return ",".join(f"{host}:{port}" for host, port in nodes) + f"/{settings.mongodb_database}"
