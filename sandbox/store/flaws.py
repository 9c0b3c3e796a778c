"""The twenty imperfections of the shop's data, and the list of every one that was planted.

Each function changes a clean document in place and notes what it did; the truth is computed from
the columns, so nothing here can change it.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
from bson import Decimal128, ObjectId
from bson.int64 import Int64

from sandbox.store.documents import Builder, Document
from sandbox.store.exact import DAY, continental, local, rng, some, utc
from sandbox.store.people import People
from sandbox.store.plan import FLAWS, Plan

FLAW_NAMES = dict(enumerate(("", *FLAWS)))


def id_text(identifier: object) -> str:
    """An id as the warehouse writes it: ObjectId in hex, any other as JSON."""
    return str(identifier) if isinstance(identifier, ObjectId) else json.dumps(identifier)


class FlawLog:
    """What was planted, by flaw and kind: a list of ids with details, or a number."""

    def __init__(self) -> None:
        self.entries: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(
            lambda: defaultdict(list)
        )
        self.numbers: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self.drift: list[dict[str, Any]] = []

    def add(self, flaw: str, kind: str, collection: str, identifier: object, **detail: Any) -> None:
        """Note one document."""
        entry = {"collection": collection, "_id": id_text(identifier), **detail}
        self.entries[flaw][kind].append(entry)

    def count(self, flaw: str, kind: str, number: int = 1) -> None:
        """Count without ids, for what concerns a large share of all documents."""
        self.numbers[flaw][kind] += number

    def drifted(
        self, collection: str, identifier: object, path: str, kind: str, stored: Any, true: str
    ) -> None:
        """Note one value that is stored in another type than it should be."""
        entry = {
            "collection": collection, "_id": id_text(identifier), "path": path,
            "kind": kind, "stored": stored, "true": true,
        }  # fmt: skip
        self.drift.append(entry)
        self.entries["08_type_drift"][kind].append(
            {"collection": collection, "_id": id_text(identifier), "path": path}
        )


def iso(moment: datetime) -> str:
    """UTC time as text with Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def wall_clock(moment: datetime, pattern: str) -> str:
    """Time of the shop's clock (Europe/London), zone lost."""
    shown = int(local(np.array([int(moment.timestamp())]))[0])
    return utc(shown).strftime(pattern)


class PersonFlaws:
    """Which people's accounts are deleted, merged, erased or oddly keyed."""

    def __init__(self, people: People, seed: int) -> None:
        r = rng(seed, "person flaws")
        n, past = people.count, people.past
        holders = ~people.guest_only & (np.arange(n) < past) & (people.second_account < 0)
        free = holders.copy()

        def take(per_10_000: int, least: int) -> frozenset[int]:
            chosen = some(r, free, max(least, past * per_10_000 // 10_000))
            free[chosen] = False
            return frozenset(chosen.tolist())

        self.hard_deleted = take(15, 2)
        self.soft_deleted = take(35, 3)
        self.erased = take(5, 2)
        self.string_id = take(20, 2)
        second = np.flatnonzero(people.second_account[:past] >= 0)
        self.merged = frozenset(second[second % 3 == 0].tolist()) or frozenset(second[:1].tolist())


class Flaws:
    """Applies flaws to documents of one shop."""

    def __init__(self, builder: Builder, person_flaws: PersonFlaws, log: FlawLog) -> None:
        self.b, self.persons, self.log = builder, person_flaws, log
        self.plan: Plan = builder.plan
        self._migration = utc((builder.profile.end_day - 200) * DAY)
        """One batch job wrote the same updated_at into many documents."""

    # --- orders ---------------------------------------------------------------------------------

    def order(self, doc: Document, order: int, draws: list[float]) -> list[Document]:
        """The documents that really lie in the database for one order: none, one or two.

        Args:
            doc: the clean order.
            order: its index.
            draws: one number in [0, 1) per item and three more, for missing fields.
        """
        p, log = self.plan, self.log
        name = FLAW_NAMES[int(p.flaw[order])]
        person = int(p.person[order])
        self._missing(doc, order, draws, keep_cost=name == "unknown_sku")
        self._spelling(doc)
        if person in self.persons.erased:
            self._erase_order(doc)
        if person in self.persons.hard_deleted and doc["user_id"] is not None:
            log.add("14_orphans", "order_of_deleted_user", "orders", doc["_id"])
        documents = [doc]
        if name == "hard_deleted":
            log.add("03_deletes", "hard_deleted", "orders", doc["_id"], order_no=doc["order_no"])
            return []
        if name == "duplicate_order":
            documents.append(self._duplicate(doc, order))
        elif name:
            getattr(self, f"_{name}")(doc, order)
        return documents

    def _missing(self, doc: Document, order: int, draws: list[float], *, keep_cost: bool) -> None:
        for item, draw in zip(doc["items"], draws[3:], strict=True):
            gone = item["product_id"] in self.deleted_products
            if draw < 0.15 and not keep_cost and not gone and item.pop("unit_cost", None):
                self.log.count("07_missing", "orders.items.unit_cost")
        if doc["device"] and draws[0] < 0.02:
            doc["device"] = None
            self.log.count("07_missing", "orders.device")
        if "fx_rate" in doc and draws[1] < 0.08:
            del doc["fx_rate"]
            self.log.add("10_currencies", "fx_rate_missing", "orders", doc["_id"])
        if doc["currency"] != "GBP":
            self.log.count("10_currencies", doc["currency"])
        included = doc["tax"]["included"]
        self.log.count("11_tax_mode", "included" if included else "excluded")
        if "source" in doc["utm"] and draws[2] < 0.08:
            spelled = ("Google ", "GOOGLE", "facebok", "news-letter")[order % 4]
            self.log.add("18_web", "utm_misspelt", "orders", doc["_id"],
                         stored=spelled, true=doc["utm"]["source"])  # fmt: skip
            doc["utm"]["source"] = spelled
        elif not doc["utm"] and self.plan.no_utm[order]:
            self.log.count("07_missing", "orders.utm")

    def _spelling(self, doc: Document) -> None:
        """Until version 2 the status was typed by hand."""
        if doc["schema_version"] == 1:
            self.log.count("09_shape_drift", "shipping_address_flat")
            number = doc["_id"].binary[-1]
            spelled = {
                "delivered": ("delivered", "Delivered"),
                "cancelled": ("cancelled", "canceled", "CANCELLED"),
                "returned": ("returned", "Returned"),
            }.get(doc["status"])
            if spelled and (chosen := spelled[number % len(spelled)]) != doc["status"]:
                self.log.add("09_shape_drift", "status_spelling", "orders", doc["_id"],
                             stored=chosen, true=doc["status"])  # fmt: skip
                doc["status"] = chosen

    def _erase_order(self, doc: Document) -> None:
        address = doc.get("shipping_address") or doc["shipping"]["address"]
        cleaned = {key: address[key] for key in ("city", "region", "country")}
        if "shipping_address" in doc:
            doc["shipping_address"] = {"line1": None, **cleaned, "postal": None}
        else:
            doc["shipping"]["address"] = {"line1": None, **cleaned, "postal": None}
        if "guest" in doc:
            doc["guest"] = {"email": None, "phone": None}
        self.log.add("20_erasure", "orders", "orders", doc["_id"])

    def _duplicate(self, doc: Document, order: int) -> Document:
        seconds = 20 + order % 600
        moment = utc(int(self.plan.placed[order]) + seconds)
        identifier = self.b.ids["duplicates"].at(order, int(self.plan.placed[order]) + seconds)
        kind = "imported_twice" if self.plan.imported_twice[order] else "retried"
        self.log.add("04_duplicates", kind, "orders", identifier,
                     order_no=doc["order_no"], of=id_text(doc["_id"]))  # fmt: skip
        return {**doc, "_id": identifier, "placed_at": moment, "created_at": moment}

    def _duplicate_payment(self, doc: Document, order: int) -> None:
        if doc["payments"]:
            doc["payments"].append(dict(doc["payments"][-1]))
            self.log.add("04_duplicates", "payment_webhook_twice", "orders", doc["_id"],
                         payment_id=doc["payments"][-1]["id"])  # fmt: skip

    def _empty_items(self, doc: Document, order: int) -> None:
        doc["items"] = []
        self.log.add("07_missing", "orders.items", "orders", doc["_id"])

    def _type_drift(self, doc: Document, order: int) -> None:
        number = self._drift_turn = getattr(self, "_drift_turn", -1) + 1
        item = doc["items"][0]
        price, places = item["unit_price"], -item["unit_price"].to_decimal().as_tuple().exponent
        minor = int(price.to_decimal().scaleb(places))
        identifier = doc["_id"]
        placed = doc["placed_at"]

        def note(path: str, kind: str, stored: Any, true: Any) -> None:
            self.log.drifted("orders", identifier, path, kind, stored, str(true))

        kind = number % 13
        if places == 3 and kind in (0, 3):
            kind = 2  # "6,990" could as well be six thousand: nobody could read it back
        if kind == 0:
            item["unit_price"] = str(price).replace(".", ",")
            note("items.0.unit_price", "price_comma_text", item["unit_price"], price)
        elif kind == 1:
            item["unit_price"] = float(str(price))
            note("items.0.unit_price", "price_double", item["unit_price"], price)
        elif kind == 2:
            item["unit_price"] = str(price)
            note("items.0.unit_price", "price_text", item["unit_price"], price)
        elif kind == 3:
            total = doc["totals"]["grand"]
            grand = int(total.to_decimal().scaleb(places))
            doc["totals"]["grand"] = continental(grand, places)
            note("totals.grand", "price_continental_text", doc["totals"]["grand"], total)
        elif kind == 4:
            if minor % 10**places == 0:
                item["unit_price"] = minor // 10**places
                note("items.0.unit_price", "price_int", item["unit_price"], price)
            else:
                item["qty"] = float(item["qty"])
                note("items.0.qty", "qty_double", item["qty"], int(item["qty"]))
        elif kind == 5:
            item["qty"] = str(item["qty"])
            note("items.0.qty", "qty_text", item["qty"], item["qty"])
        elif kind == 6:
            doc["placed_at"] = iso(placed)
            note("placed_at", "date_iso_text", doc["placed_at"], iso(placed))
        elif kind == 7:
            doc["placed_at"] = Int64(int(placed.timestamp()) * 1000)
            note("placed_at", "date_epoch_ms", int(doc["placed_at"]), iso(placed))
        elif kind == 8:
            doc["placed_at"] = wall_clock(placed, "%d/%m/%Y %H:%M:%S")
            note("placed_at", "date_dd_mm_yyyy", doc["placed_at"], iso(placed))
        elif kind == 9:
            true = doc["tax"]["included"]
            doc["tax"]["included"] = "yes" if true else "no"
            note("tax.included", "boolean_text", doc["tax"]["included"], true)
        elif kind == 10 and isinstance(doc["user_id"], ObjectId):
            doc["user_id"] = str(doc["user_id"])
            note("user_id", "reference_text", doc["user_id"], doc["user_id"])
        elif kind == 11:
            item["product_id"] = str(item["product_id"])
            note("items.0.product_id", "reference_text", item["product_id"], item["product_id"])
        else:
            stamp = doc["updated_at"]
            doc["updated_at"] = iso(stamp)
            note("updated_at", "date_iso_text", doc["updated_at"], iso(stamp))

    def _totals_differ(self, doc: Document, order: int) -> None:
        totals = doc["totals"]
        true = totals["grand"]
        exact = true.to_decimal()
        step = exact.as_tuple().exponent
        wrong = Decimal128(exact + Decimal((1, -1, 100, 2)[order % 4]).scaleb(step))
        totals["grand"] = wrong
        self.log.add("12_totals", "grand", "orders", doc["_id"], stored=str(wrong), true=str(true))

    def _unknown_sku(self, doc: Document, order: int) -> None:
        item = doc["items"][0]
        true = item["sku"]
        item["sku"] = f"GONE-{order:06d}"
        item["product_id"] = self.b.ids["unknown"].at(order, int(self.plan.placed[order]))
        if "unit_cost" not in item:
            item["unit_cost"] = self.true_cost(true, int(self.plan.placed[order]))
        self.log.add("14_orphans", "item_of_unknown_sku", "orders", doc["_id"],
                     stored=item["sku"], true=true)  # fmt: skip

    def _delivered_before_shipped(self, doc: Document, order: int) -> None:
        shipping = doc["shipping"]
        if "delivered_at" not in shipping:
            return  # still on its way
        shipping["delivered_at"], shipping["shipped_at"] = (
            shipping["shipped_at"], shipping["delivered_at"],
        )  # fmt: skip
        self.log.add("15_clock", "delivered_before_shipped", "orders", doc["_id"])

    def _future_delivery(self, doc: Document, order: int) -> None:
        moment = doc["shipping"].get("delivered_at")
        if moment is None:
            return  # still on its way
        doc["shipping"]["delivered_at"] = moment.replace(year=moment.year + 10, day=1)
        self.log.add("15_clock", "delivered_in_the_future", "orders", doc["_id"])
        if order % 2:
            doc["updated_at"] = doc["updated_at"].replace(year=2035, day=1)
            self.log.add("15_clock", "updated_in_the_future", "orders", doc["_id"])

    def _zone_lost(self, doc: Document, order: int) -> None:
        placed = doc["placed_at"]
        doc["placed_at"] = wall_clock(placed, "%Y-%m-%dT%H:%M:%S")
        self.log.add("15_clock", "zone_lost", "orders", doc["_id"],
                     stored=doc["placed_at"], true=iso(placed))  # fmt: skip

    def clock_hour(self, doc: Document) -> None:
        """An order in the hour that occurs twice, written without zone: the hour is lost."""
        placed = doc["placed_at"]
        doc["placed_at"] = wall_clock(placed, "%Y-%m-%dT%H:%M:%S")
        self.log.add("15_clock", "repeated_hour", "orders", doc["_id"],
                     stored=doc["placed_at"], true=iso(placed))  # fmt: skip

    def _updated_at_missing(self, doc: Document, order: int) -> None:
        if order % 2:
            del doc["updated_at"]
        else:
            doc["updated_at"] = None
        self.log.add("02_updated_at", "missing", "orders", doc["_id"])

    def _updated_at_equal(self, doc: Document, order: int) -> None:
        doc["updated_at"] = max(self._migration, doc["updated_at"])
        if doc["updated_at"] == self._migration:
            self.log.add("02_updated_at", "equal", "orders", doc["_id"])
        else:
            self._updated_at_missing(doc, order)

    def _updated_at_not_bumped(self, doc: Document, order: int) -> None:
        doc["updated_at"] = doc["created_at"]
        self.log.add("02_updated_at", "not_bumped", "orders", doc["_id"])

    def _items_as_map(self, doc: Document, order: int) -> None:
        doc["items"] = {item["line_id"]: item for item in doc["items"]}
        self.log.add("09_shape_drift", "items_as_map", "orders", doc["_id"])

    def _session_missing(self, doc: Document, order: int) -> None:
        doc["session_id"] = self.b.ids["unknown"].at(
            order + (1 << 32), int(self.plan.placed[order])
        )
        self.log.add("18_web", "purchase_without_session", "orders", doc["_id"])

    def _late_edit(self, doc: Document, order: int) -> None:
        days = 15 + order % 75
        moment = utc(min(int(self.plan.placed[order]) + days * DAY, self.plan.cutoff - 60))
        doc["notes"] = ("address corrected", "gift note added", "invoice sent again")[order % 3]
        doc["updated_at"] = max(moment, doc["updated_at"])

    # --- users ----------------------------------------------------------------------------------

    def user(self, doc: Document, person: int, account: int) -> Document | None:
        """The user document as it lies in the database; None if it was hard-deleted."""
        log, persons = self.log, self.persons
        identifier = doc["_id"]
        number = person * 2 + account
        if person in persons.hard_deleted:
            log.add("03_deletes", "hard_deleted", "users", identifier)
            return None
        if account:
            log.count("05_duplicate_people", "second_accounts")
        elif number % 50 == 4 and "phone" in doc and self.b.people.second_account[person] < 0:
            del doc["email"]
            log.count("07_missing", "users.email")
        if number % 4 == 0:
            doc.pop("birth_date", None)
            log.count("07_missing", "users.birth_date")
        if number % 37 == 0:
            del doc["addresses"][0]["country"]
            log.count("07_missing", "users.addresses.country")
        if person in persons.soft_deleted:
            doc["deleted_at"] = doc["updated_at"] = self._after(doc, 200)
            log.add("03_deletes", "soft_deleted", "users", identifier)
        if account and person in persons.merged:
            doc["merged_into"] = self.b.user_id(person, 0)
            doc["deleted_at"] = doc["updated_at"] = self._after(doc, 60)
            log.add("03_deletes", "merged", "users", identifier,
                    into=id_text(doc["merged_into"]))  # fmt: skip
        if person in persons.erased:
            self._erase_user(doc)
        elif number % 50 in (6, 7):
            self._drift_user(doc)
        elif number % 300 == 12 and doc["updated_at"] < self._migration:
            doc["updated_at"] = self._migration
            log.add("02_updated_at", "equal", "users", identifier)
        elif number % 500 == 16:
            del doc["updated_at"]
            log.add("02_updated_at", "missing", "users", identifier)
        elif number % 400 == 18:
            doc["name"]["first"] += " 🛍️" if number % 800 == 18 else "\x00"
            log.add("17_oddities", "text_in_name", "users", identifier)
        return doc

    def _after(self, doc: Document, days: int) -> datetime:
        moment = int(doc["created_at"].timestamp()) + days * DAY
        return utc(min(moment, self.plan.cutoff - 3600))

    def _erase_user(self, doc: Document) -> None:
        for field in ("email", "phone", "gender", "birth_date"):
            doc.pop(field, None)
        doc["name"] = {"first": None, "last": None}
        for address in doc["addresses"]:
            for field in ("line1", "postal", "geo"):
                address[field] = None
        doc["erased_at"] = doc["updated_at"] = self._after(doc, 300)
        self.log.add("20_erasure", "users", "users", doc["_id"])

    def _drift_user(self, doc: Document) -> None:
        turn = self._user_turn = getattr(self, "_user_turn", -1) + 1
        kind = turn % 6
        identifier = doc["_id"]

        def note(path: str, name: str, stored: Any, true: Any) -> None:
            self.log.drifted("users", identifier, path, name, stored, str(true))

        if kind == 0 and "birth_date" in doc:
            true = doc["birth_date"].strftime("%Y-%m-%d")
            doc["birth_date"] = doc["birth_date"].strftime("%d/%m/%Y")
            note("birth_date", "date_dd_mm_yyyy", doc["birth_date"], true)
        elif kind == 1:
            true = doc["consent"]["email"]
            doc["consent"]["email"] = "yes" if true else "no"
            note("consent.email", "boolean_text", doc["consent"]["email"], true)
        elif kind == 2:
            true = doc["signup"]["at"]
            doc["signup"]["at"] = iso(true)
            note("signup.at", "date_iso_text", doc["signup"]["at"], iso(true))
        elif kind == 3:
            true = doc["created_at"]
            doc["created_at"] = Int64(int(true.timestamp()) * 1000)
            note("created_at", "date_epoch_ms", int(doc["created_at"]), iso(true))
        elif kind == 4:
            doc["birth_date"] = "31/02/1990"
            self.log.add("08_type_drift", "unparseable", "users", identifier,
                         path="birth_date", stored="31/02/1990")  # fmt: skip
        else:
            true = doc["consent"]["sms"]
            doc["consent"]["sms"] = int(true)
            note("consent.sms", "boolean_int", doc["consent"]["sms"], true)

    # --- products -------------------------------------------------------------------------------

    def plan_products(self, seed: int) -> None:
        """Decide which products are deleted, archived or keyed by text."""
        r = rng(seed, "product flaws")
        c = self.b.catalogue
        n = c.products
        free = np.ones(n, dtype=bool)
        free[[0, 1, n - 1, c.typo_product]] = False
        free[c.cost_unknown] = False
        free &= c.launch < self.b.profile.first_day + 200

        def take(count: int) -> frozenset[int]:
            chosen = some(r, free, count)
            free[chosen] = False
            return frozenset(chosen.tolist())

        self.hard_deleted_products = take(max(1, n // 400))
        self.archived_products = take(max(1, n // 200))
        for p in take(max(1, n // 400)):
            self.b.product_ids[p] = f"prd-{p:05d}"
            self.log.add("08_type_drift", "id_text", "products", self.b.product_ids[p])
        self.deleted_products = {self.b.product_ids[p] for p in self.hard_deleted_products}

    def true_cost(self, sku_code: str, placed: int) -> Decimal128:
        """The cost of a sku on the day of an order."""
        from sandbox.store.exact import decimal

        c = self.b.catalogue
        product = int(c.sku_product[c.sku_codes.index(sku_code)])
        row = int(c.history_at(np.array([product]), np.array([placed // DAY]))[0])
        return decimal(int(c.history_cost[row]))

    def product(self, doc: Document, p: int) -> Document | None:
        """The product document as it lies in the database; None if it was hard-deleted."""
        log, identifier = self.log, doc["_id"]
        if p in self.hard_deleted_products:
            log.add("03_deletes", "hard_deleted", "products", identifier)
            return None
        if "category" in doc:
            log.count("09_shape_drift", "category_text")
        if self.b.catalogue.cost_unknown[p]:
            log.add("07_missing", "products.cost", "products", identifier)
        if p in self.archived_products:
            doc["status"] = "archived"
            doc["updated_at"] = utc(self.plan.cutoff - 20 * DAY)
            log.add("03_deletes", "archived", "products", identifier)
        if doc["rating"]["avg"] is None:
            doc["rating"]["avg"] = float("nan")
            log.add("17_oddities", "nan", "products", identifier, path="rating.avg")
        if p % 97 == 5:
            doc["attrs"] = {
                **doc["attrs"],
                "$note": "raw",
                "care.wash": "30°",
                "weight": float("inf"),
            }
            log.add("17_oddities", "keys_and_infinity", "products", identifier)
        if p % 211 == 6:
            doc["title"] += " ✨ „édition“"
        if p % 25 == 7:
            self._drift_product(doc, p)
        return doc

    def _drift_product(self, doc: Document, p: int) -> None:
        variant, identifier = doc["variants"][0], doc["_id"]
        kind = p // 25 % 5
        price = variant["price"]

        def note(path: str, name: str, stored: Any, true: Any) -> None:
            self.log.drifted("products", identifier, path, name, stored, str(true))

        if kind == 0:
            variant["price"] = str(price).replace(".", ",")
            note("variants.0.price", "price_comma_text", variant["price"], price)
        elif kind == 1:
            variant["weight_g"] = "unknown"
            self.log.add("08_type_drift", "unparseable", "products", identifier,
                         path="variants.0.weight_g", stored="unknown")  # fmt: skip
        elif kind == 2:
            variant["price"] = float(str(price))
            note("variants.0.price", "price_double", variant["price"], price)
        elif kind == 3:
            true = doc["launched_at"]
            doc["launched_at"] = true.strftime("%d/%m/%Y")
            note("launched_at", "date_dd_mm_yyyy", doc["launched_at"], true.strftime("%Y-%m-%d"))
        else:
            entry = doc["price_history"][0]
            true = entry["price"]
            entry["price"] = str(true)
            note("price_history.0.price", "price_text", entry["price"], true)
