"""The demo's data sets, each in databases of its own, so that no two can mix."""

from __future__ import annotations

import os
from typing import NamedTuple

from loaders.errors import UserError
from loaders.settings import Settings


class Dataset(NamedTuple):
    """Where a data set lives unless the user has named the databases.

    Attributes:
        mongodb_database: of the shop.
        postgres_db: of the warehouse.
        selector: what to give to `make` to work with it.
    """

    mongodb_database: str
    postgres_db: str
    selector: str


DEFAULT = "s"
ONLINE_RETAIL = "online-retail"
DATASETS = {
    DEFAULT: Dataset("shop", "ledgerline", ""),
    "xs": Dataset("shop_xs", "ledgerline_xs", " PROFILE=xs"),
    "m": Dataset("shop_m", "ledgerline_m", " PROFILE=m"),
    "xl": Dataset("shop_xl", "ledgerline_xl", " PROFILE=xl"),
    ONLINE_RETAIL: Dataset("online_retail", "online_retail", " DATA=online-retail"),
}


def choose(name: str) -> Dataset:
    """Point this process at the data set's databases; names that the user has set are kept.

    Raises:
        UserError: there is no such data set.
    """
    if name not in DATASETS:
        raise UserError(
            f"there is no data set {name!r}: PROFILE is one of xs, s, m and xl, "
            f"DATA can be {ONLINE_RETAIL}"
        )
    dataset = DATASETS[name]
    named_by_user = Settings().model_fields_set
    if "mongodb_database" not in named_by_user:
        os.environ["MONGODB_DATABASE"] = dataset.mongodb_database
    if "postgres_db" not in named_by_user:
        os.environ["POSTGRES_DB"] = dataset.postgres_db
    return dataset
