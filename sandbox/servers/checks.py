"""Does the configured server answer, and let us in? One clear line when not."""

from __future__ import annotations

from loaders.errors import ServerUnreachableError, UserError
from loaders.settings import Settings


class NoDatabaseError(UserError):
    """The server is there and lets us in, but has no such database."""


SECONDS = 5  # how long a server may take to answer


def check_postgres(settings: Settings) -> str:
    """Log in and return the server's version, e.g. "18.6".

    Raises:
        ServerUnreachableError: nothing answers there.
        UserError: host, user, password, database or version is wrong.
    """
    import psycopg

    target = settings.postgres()
    where = f"{target['host']}:{target['port']}"
    advice = (
        "run `make up`"
        if settings.uses_sandbox_postgres
        else "check POSTGRES_HOST and POSTGRES_PORT, and that the server runs"
    )
    try:
        with psycopg.connect(**target, connect_timeout=SECONDS) as connection:
            number = connection.info.server_version
            version = connection.info.parameter_status("server_version") or ""
    except psycopg.OperationalError as problem:
        message = " ".join(str(problem).split())
        if problem.sqlstate == "3D000" or ("database" in message and "not exist" in message):
            raise NoDatabaseError(
                f"PostgreSQL at {where} has no database {target['dbname']!r}: create it "
                f'(create database "{target["dbname"]}"), or set POSTGRES_DB'
            ) from None
        if "no password supplied" in message:
            raise UserError(
                f"PostgreSQL at {where} wants a password for user {target['user']!r}: "
                "set POSTGRES_PASSWORD"
            ) from None
        if "authentication failed" in message or "not exist" in message:
            cure = (
                f"{settings.credentials_file} isn't the file that its data was made with: put "
                "that back"
                if settings.uses_sandbox_postgres
                else "check POSTGRES_USER and POSTGRES_PASSWORD"
            )
            raise UserError(
                f"PostgreSQL at {where} refuses user {target['user']!r} with this password: {cure}"
            ) from None
        if (
            "pg_hba.conf" in message
            or "too many clients" in message
            or "connection slots" in (message)
        ):
            told = message.rsplit("FATAL: ", 1)[-1]
            raise UserError(f"PostgreSQL at {where} lets nobody in: {told}") from None
        if "starting up" in message or "shutting down" in message or "recovery" in message:
            raise ServerUnreachableError(
                f"PostgreSQL at {where} is starting or stopping: try again in a moment"
            ) from None
        if "resolve" in message or "name or service" in message.lower():
            raise UserError(
                f"the host {target['host']!r} isn't known: check POSTGRES_HOST"
            ) from None
        raise ServerUnreachableError(f"no PostgreSQL answers at {where}: {advice}") from None
    if number < 150000:
        raise UserError(f"PostgreSQL at {where} is {version}; 15 or newer is needed")
    return version.split()[0]


def check_mongodb(settings: Settings) -> str:
    """Log in and return the server's version, e.g. "8.2.11".

    Raises:
        ServerUnreachableError: nothing answers there.
        UserError: the URI, user, password or version is wrong.
    """
    import pymongo
    from pymongo.errors import (
        ConfigurationError,
        InvalidName,
        InvalidURI,
        OperationFailure,
        PyMongoError,
    )

    advice = (
        "run `make up`"
        if settings.uses_sandbox_mongodb
        else "check MONGODB_URI, and that the server runs"
    )
    try:
        client: pymongo.MongoClient = pymongo.MongoClient(
            settings.mongodb(),
            serverSelectionTimeoutMS=SECONDS * 1000,
            connectTimeoutMS=SECONDS * 1000,
            socketTimeoutMS=SECONDS * 1000,
        )
    except (InvalidURI, ConfigurationError, ValueError) as problem:
        raise UserError(f"MONGODB_URI is wrong: {_first_line(problem)}") from None
    with client:
        where = ", ".join(f"{host}:{port}" for host, port in _seeds(client))
        try:
            # a command that needs the login, unlike `ping` or `buildInfo`
            client[settings.mongodb_database].list_collection_names()
            version = str(client.server_info()["version"])
        except OperationFailure as problem:
            if problem.code in (18, 8000, 11):  # AuthenticationFailed, Atlas' own, UserNotFound
                raise UserError(_refused(where, settings)) from None
            if problem.code == 13:  # Unauthorized
                raise UserError(
                    f"MongoDB at {where} doesn't let this user read "
                    f"{settings.mongodb_database!r}: name a user with the role `read` on it in "
                    "MONGODB_URI, or set MONGODB_DATABASE"
                ) from None
            raise UserError(f"MongoDB at {where} refuses: {_first_line(problem)}") from None
        except InvalidName:
            raise UserError(
                f"MONGODB_DATABASE={settings.mongodb_database!r} can't be a database's name"
            ) from None
        except PyMongoError as problem:
            if "authentication failed" in str(problem).lower():
                raise UserError(_refused(where, settings)) from None
            raise ServerUnreachableError(f"no MongoDB answers at {where}: {advice}") from None
    if int(version.split(".")[0]) < 5:
        raise UserError(f"MongoDB at {where} is {version}; 5 or newer is needed")
    return version


def _refused(where: str, settings: Settings) -> str:
    cure = (
        f"{settings.credentials_file} isn't the file that its data was made with: put that back"
        if settings.uses_sandbox_mongodb
        else "check them in MONGODB_URI, and authSource, the database that the user was made in"
    )
    return f"MongoDB at {where} refuses this user and password: {cure}"


def _seeds(client: object) -> list[tuple[str, int]]:
    return sorted(client.topology_description.server_descriptions())


def _first_line(problem: Exception) -> str:
    """The driver's own words, without what could be a password in a URI."""
    text = str(problem).split(", full error", 1)[0]
    return text.splitlines()[0] if text else type(problem).__name__
