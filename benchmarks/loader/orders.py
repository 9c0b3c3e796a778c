"""The documents that are loaded: made-up orders, the same at every run, as files of BSON.

Some 620 bytes each, with what makes a loader work: ObjectIds, 64-bit integers, a Decimal128, seven
doubles, dates, an address with a place on the map, three line items, and texts with quotes,
backslashes, line breaks and letters beyond ASCII.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import bson
from bson.decimal128 import Decimal128
from bson.int64 import Int64
from bson.objectid import ObjectId

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=360)  # in which the orders were placed, however many there are
CHANGED_EVERY = 100  # one order in so many was changed later
BATCH_DOCUMENTS = 2_000

_STATUSES = ("placed", "paid", "shipped", "delivered", "returned")
_NOTES = (
    'Please ring "Smith" twice',
    "C:\\gifts\\2024 \\ wrap it",
    "Leave with neighbour\nor behind the shed",
    "Größe L, façade jaune, s'il vous plaît",
    "日本語のメモ ☂ by noon",
)
_STREETS = ("Rosebank Terrace", "Old Mill Lane", "Königsallee", "Rue de l'Église", "Station Road")
_CITIES = ("Leeds", "Düsseldorf", "Besançon", "Bath", "Inverness")
_PRODUCTS = ("Ceramic jug, blue", 'Cake tin 9"', "Lampshade “Lilly”", "Jute bag", "Cork mat set")


@dataclass(frozen=True)
class Files:
    """BSON documents: all orders, the same with some changed, and all in two parts."""

    orders: Path
    changed: Path
    first_half: Path
    second_half: Path


def write(folder: Path, documents: int) -> Files:
    """Write so many orders, and what the benchmark needs beside them."""
    files = Files(*(folder / f"{field.name}.bson" for field in fields(Files)))
    with (
        files.orders.open("wb") as all_orders,
        files.changed.open("wb") as changed,
        files.first_half.open("wb") as first,
        files.second_half.open("wb") as second,
    ):
        for number, order in enumerate(orders(documents)):
            document = bson.encode(order)
            all_orders.write(document)
            (first if number < documents // 2 else second).write(document)
            if number % CHANGED_EVERY == 0:
                change(order)
                document = bson.encode(order)
            changed.write(document)
    return files


def read(file: Path) -> Iterator[bytes]:
    """The documents of a file as batches, like those that a server sends."""
    with file.open("rb") as stream:
        batch: list[bytes] = []
        while length := stream.read(4):
            batch.append(length + stream.read(int.from_bytes(length, "little") - 4))
            if len(batch) == BATCH_DOCUMENTS:
                yield b"".join(batch)
                batch.clear()
        yield b"".join(batch)


def change(order: dict[str, Any]) -> None:
    """What a shop does to an order later."""
    order["status"] = "closed"
    order["updated_at"] = FIRST + SPAN + timedelta(days=1, seconds=order["number"])


def orders(documents: int) -> Iterator[dict[str, Any]]:
    """The orders, oldest first, which is the order of their ids too."""
    chance = random.Random(622)
    step = SPAN / documents
    for number in range(documents):
        yield _order(number, FIRST + number * step, chance)


def _order(number: int, placed_at: datetime, chance: random.Random) -> dict[str, Any]:
    items = [_item(chance) for _ in range(3)]
    goods = sum(item["quantity"] * item["price"] for item in items)
    placed_at = placed_at.replace(microsecond=placed_at.microsecond // 1000 * 1000)
    return {
        "_id": _object_id(int(placed_at.timestamp()), number),
        "number": Int64(10_000_000_000 + number),
        "user_id": _object_id(0x60000000, chance.randrange(200_000)),
        "status": chance.choice(_STATUSES),
        "currency": "GBP",
        "total": Decimal128(f"{goods * 1.2:.2f}"),
        "tax": round(goods * 0.2, 2),
        "discount": round(goods * chance.random() / 10, 2),
        "created_at": placed_at,
        "updated_at": placed_at + timedelta(minutes=chance.randrange(60)),
        "address": {
            "street": f"{chance.randrange(1, 300)} {chance.choice(_STREETS)}",
            "city": chance.choice(_CITIES),
            "postcode": f"LS{chance.randrange(1, 29)} {chance.randrange(1, 9)}AB",
            "geo": {
                "lat": round(chance.uniform(43, 58), 6),
                "lon": round(chance.uniform(-5, 9), 6),
            },
        },
        "items": items,
        "note": chance.choice(_NOTES),
    }


def _item(chance: random.Random) -> dict[str, Any]:
    product = chance.randrange(5_000)
    return {
        "product_id": _object_id(0x50000000, product),
        "name": _PRODUCTS[product % len(_PRODUCTS)],
        "quantity": chance.randrange(1, 12),
        "price": round(chance.uniform(0.5, 60), 2),
    }


def _object_id(seconds: int, number: int) -> ObjectId:
    return ObjectId(seconds.to_bytes(4, "big") + number.to_bytes(8, "big"))
