"""Every setting of Ledgerline, read once from the environment or an ignored `.env`.

The names here are the only ones: `profiles.yml.example`, the Makefile, Dagster and the serving
apps use the same. Where no server is named, the sandbox's are used: their passwords are in
`<LEDGERLINE_HOME>/credentials.json`, written by `make up` with mode 0600.
"""

from __future__ import annotations

import json
import os
from functools import cached_property
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

ROOT = Path(__file__).resolve().parent.parent


Port = Annotated[int, Field(ge=1, le=65535)]


class SettingsError(Exception):
    """A setting is missing or wrong; the message is one line that says what to do."""


class Settings(BaseSettings):
    """Settings with the environment variable's name in `validation_alias`."""

    model_config = SettingsConfigDict(
        # LEDGERLINE_ENV_FILE names another file; the tests name none, so that no server of the
        # user's is ever tested on
        env_file=os.environ.get("LEDGERLINE_ENV_FILE", ROOT / ".env"),
        env_file_encoding="utf-8",
        extra="ignore",
    )

    # --- servers; unset means: the sandbox's ---------------------------------------------------
    mongodb_uri: SecretStr | None = Field(None, validation_alias="MONGODB_URI")
    mongodb_database: str = Field("shop", validation_alias="MONGODB_DATABASE")
    postgres_host: str | None = Field(None, validation_alias="POSTGRES_HOST")
    postgres_port: Port = Field(5432, validation_alias="POSTGRES_PORT")
    postgres_user: str = Field("ledgerline", validation_alias="POSTGRES_USER")
    postgres_password: SecretStr | None = Field(None, validation_alias="POSTGRES_PASSWORD")
    postgres_db: str = Field("ledgerline", validation_alias="POSTGRES_DB")

    # --- sandbox --------------------------------------------------------------------------------
    home: Path = Field(ROOT / ".ledgerline", validation_alias="LEDGERLINE_HOME")
    sandbox_postgres_port: Port = Field(54329, validation_alias="LEDGERLINE_POSTGRES_PORT")
    sandbox_mongodb_port: Port = Field(27029, validation_alias="LEDGERLINE_MONGODB_PORT")

    # --- the store's rules of time and money ----------------------------------------------------
    store_timezone: str = Field("Europe/London", validation_alias="LEDGERLINE_STORE_TIMEZONE")
    store_currency: str = Field("GBP", validation_alias="LEDGERLINE_STORE_CURRENCY")

    # --- models: a task's run counts as current for so many days of data -------------------------
    retrain_days: Annotated[int, Field(ge=1, le=90)] = Field(
        1, validation_alias="LEDGERLINE_RETRAIN_DAYS"
    )

    log_level: str = Field("INFO", validation_alias="LOG_LEVEL")

    @property
    def uses_sandbox_postgres(self) -> bool:
        """True when no `POSTGRES_HOST` is given."""
        return self.postgres_host is None

    @property
    def uses_sandbox_mongodb(self) -> bool:
        """True when no `MONGODB_URI` is given."""
        return self.mongodb_uri is None

    @property
    def credentials_file(self) -> Path:
        """Where the sandbox keeps its generated passwords (mode 0600)."""
        return self.home / "credentials.json"

    @cached_property
    def _credentials(self) -> dict[str, str]:
        try:
            return json.loads(self.credentials_file.read_text())
        except FileNotFoundError:
            raise SettingsError(
                "the sandbox has no passwords yet: run `make up`, "
                "or set MONGODB_URI and POSTGRES_HOST to use your own servers"
            ) from None
        except (OSError, ValueError):
            raise SettingsError(
                f"{self.credentials_file} can't be read: run `make up`, which says why"
            ) from None

    def postgres(self, database: str | None = None) -> dict[str, str | int]:
        """Connection arguments for `psycopg.connect(**…)`; the sandbox's unless a host is set.

        Raises:
            SettingsError: no password is known for the server.
        """
        if self.uses_sandbox_postgres:
            host, port = "127.0.0.1", self.sandbox_postgres_port
            user, password = "ledgerline", self._credentials["postgres_password"]
        else:
            host, port, user = str(self.postgres_host), self.postgres_port, self.postgres_user
            password = self.postgres_password.get_secret_value() if self.postgres_password else ""
        return {
            "host": host,
            "port": port,
            "user": user,
            "password": password,
            "dbname": database or self.postgres_db,
        }

    def mongodb(self) -> str:
        """The MongoDB URI; the sandbox's unless `MONGODB_URI` is set.

        Raises:
            SettingsError: the sandbox has never been started.
        """
        if self.mongodb_uri is not None:
            return self.mongodb_uri.get_secret_value()
        user, password = "ledgerline", self._credentials["mongodb_password"]
        return (
            f"mongodb://{user}:{quote(password)}@127.0.0.1:{self.sandbox_mongodb_port}"
            "/?directConnection=true&authSource=admin"
        )

    def dbt_environment(self) -> dict[str, str]:
        """The variables that `profiles.yml` reads, for child processes that run dbt."""
        pg = self.postgres()
        return {
            "POSTGRES_HOST": str(pg["host"]),
            "POSTGRES_PORT": str(pg["port"]),
            "POSTGRES_USER": str(pg["user"]),
            "POSTGRES_PASSWORD": str(pg["password"]),
            "POSTGRES_DB": str(pg["dbname"]),
            "LEDGERLINE_STORE_TIMEZONE": self.store_timezone,
            "LEDGERLINE_STORE_CURRENCY": self.store_currency,
        }
