"""The shop lives on: the next days' orders, and everything that happens to older documents.

A tick is first worked out from the store's own files (never from the database) into
`ticks/<number>/`, then applied. Every change is an absolute value, so a tick that was killed is
simply applied again.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import bson
import numpy as np
from bson.codec_options import CodecOptions
from pymongo import DeleteOne, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError

from loaders.errors import UserError
from sandbox.store import plan
from sandbox.store.documents import Document, as_of
from sandbox.store.exact import DAY, decimal, local_day, rng, some, utc
from sandbox.store.flaws import id_text
from sandbox.store.generate import Chunk, World
from sandbox.store.places import CURRENCIES, STORES
from sandbox.store.profiles import Profile
from sandbox.store.truth import day_text
from sandbox.store.writer import explain


class Changes:
    """What a tick does to the database, in the order in which it is applied."""

    def __init__(self) -> None:
        self.operations: list[Document] = []
        self.noted: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        self.balance: dict[str, int] = defaultdict(int)

    def insert(self, collection: str, doc: Document) -> None:
        """A new document."""
        self.operations.append({"in": collection, "do": "insert", "doc": doc})
        self.noted[collection]["inserted"].append(id_text(doc["_id"]))
        self.balance[collection] += 1

    def update(
        self, collection: str, identifier: object, kind: str, changes: Document,
        only_if: Document | None = None,
    ) -> None:  # fmt: skip
        """`changes` in MongoDB's update language; `only_if` narrows the filter."""
        self.operations.append(
            {
                "in": collection,
                "do": "update",
                "filter": {"_id": identifier, **(only_if or {})},
                # `$set` can't be a stored key everywhere, so operators are pairs
                "changes": [[operator, value] for operator, value in changes.items()],
            }
        )
        self.noted[collection][kind].append(id_text(identifier))

    def delete(self, collection: str, identifier: object) -> None:
        """A hard delete."""
        self.operations.append({"in": collection, "do": "delete", "_id": identifier})
        self.noted[collection]["hard_deleted"].append(id_text(identifier))
        self.balance[collection] -= 1


def read_documents(path: Path) -> Iterator[Document]:
    """The documents of a BSON file."""
    with path.open("rb") as file:
        yield from bson.decode_file_iter(file, CodecOptions(tz_aware=True))


def work_out(profile: Profile, seed: int, folder: Path, number: int, days: int) -> Path:
    """Write tick `number` of `days` days into the store's folder, unless it is there.

    Returns: the tick's folder.

    Raises:
        UserError: an earlier tick is missing, the shop's future ends, or the disk is full.
    """
    target = folder / "ticks" / f"{number:04d}"
    if _is_done(target, days):
        return target
    for later in sorted((folder / "ticks").glob("[0-9]*")):
        if later.name >= target.name:  # of an earlier life of this shop
            shutil.rmtree(later)
    before = folder if number == 1 else folder / "ticks" / f"{number - 1:04d}"
    try:
        state = json.loads((before / "state.json").read_text())
    except (OSError, ValueError):
        raise UserError(
            f"{before} is missing or cut off: make the store again with "
            "`ledgerline store generate --replace`"
        ) from None
    first = state.get("day", profile.end_day)
    if first + days > profile.horizon_day:
        left = profile.horizon_day - first
        raise UserError(f"the demo shop's future ends in {left} days: use --days {left} or less")
    try:
        temporary = target.with_suffix(".part")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        _Tick(World(profile, seed), state, before, folder, number).run(first, days, temporary)
        shutil.rmtree(target, ignore_errors=True)
        temporary.rename(target)
    except OSError as error:
        raise explain(error, target) from error
    return target


def _is_done(target: Path, days: int) -> bool:
    """Whether the tick was worked out for so many days; its folder appears only when whole."""
    try:
        return bool(json.loads((target / "truth.json").read_text())["days"] == days)
    except (OSError, ValueError, KeyError):
        return False


def _refunded(row: dict[str, str]) -> bool:
    return row["returns"] != "0.00"


class _Tick:
    def __init__(
        self, world: World, state: dict[str, Any], before: Path, folder: Path, number: int
    ) -> None:
        self.w, self.before, self.folder, self.number = world, before, folder, number
        self.changes = Changes()
        self.chunk = Chunk(world, self.changes.insert)
        self.chunk.restore(state)
        world.log.entries.clear()
        self.sku_index = {code: i for i, code in enumerate(world.catalogue.sku_codes)}
        self.used = {name: set(ids) for name, ids in state.get("used", {}).items()}
        self.counts = state.get("counts")
        if self.counts is None:
            truth = json.loads((folder / "truth" / "counts.json").read_text())
            self.counts = truth["documents"]

    def run(self, first: int, days: int, target: Path) -> None:
        """Work out the days [first, first + days) and write them into `target`."""
        self.first, self.last = first, first + days
        self.since, self.now = first * DAY, (first + days) * DAY
        stock_before, reviewed_before = self.chunk.stock_sum.copy(), self.chunk.reviewed.copy()
        self._people()
        self._campaigns_and_rates()
        self.chunk.days(self.first, self.last, self.now)
        pending = self._pending()
        later = self._later()
        deleted = self._late_changes(pending)
        self._accounts_change()
        self._products(stock_before, reviewed_before)
        kept = [entry for entry in pending if id_text(entry["doc"]["_id"]) not in deleted]
        self._write(target, kept, later, deleted)

    def _orders_between(self, oldest: int, newest: int) -> np.ndarray:
        """Ordinary orders without flaws placed `oldest` to `newest` days ago."""
        p = self.w.plan
        age = self.first - p.placed // DAY
        found = (age <= oldest) & (age >= newest) & (p.outcome == plan.NORMAL) & (p.flaw == 0)
        found[p.clock_hour] = False
        found[list(self.used.get("orders", ()))] = False
        return found

    def _take(self, kind: str, eligible: np.ndarray, count: int, r: np.random.Generator) -> list:
        chosen = some(r, eligible, count).tolist()
        self.used.setdefault(kind, set()).update(chosen)
        return chosen

    # --- new ------------------------------------------------------------------------------------

    def _people(self) -> None:
        w, people = self.w, self.w.people
        for account, signup in ((0, people.signup), (1, people.second_signup)):
            new = (signup >= self.since) & (signup < self.now) & ~people.guest_only
            new &= people.first_order_at < w.profile.horizon_day * DAY
            if account:
                new &= people.second_account >= 0
            for person in np.flatnonzero(new).tolist():
                doc = w.flaws.user(w.builder.user(person, account), person, account)
                if doc is not None:
                    self.changes.insert("users", doc)

    def _campaigns_and_rates(self) -> None:
        w, m = self.w, self.w.marketing
        for k in range(m.count):
            if self.first <= m.start[k] - 7 < self.last:
                self.changes.insert("campaigns", w.builder.campaign(k, self.last))
                continue
            doc = w.builder.campaign(k, self.last)
            if m.start[k] - 7 < self.first and (
                doc["status"] != w.builder.campaign(k, self.first)["status"]
            ):
                new = {"status": doc["status"], "updated_at": doc["updated_at"]}
                self.changes.update("campaigns", doc["_id"], "status", {"$set": new})
        for day in range(self.first, self.last):
            for index in range(1, len(CURRENCIES)):
                rate = int(w.maker.rates[index, day - w.maker.rates_first])
                doc = w.builder.exchange_rate(day, index, rate)
                self.changes.insert("exchange_rates", doc)

    # --- older orders ---------------------------------------------------------------------------

    def _pending(self) -> list[Document]:
        """Orders go on: paid, shipped, delivered, refunded. Returns those with more to come."""
        still = list(self.chunk.pending)
        for entry in read_documents(self.before / "pending.bson"):
            full = entry["doc"]
            old, new = as_of(full, self.since), as_of(full, self.now)
            events = [*full["status_history"], *full["refunds"]]
            if any(event["at"] >= utc(self.now) for event in events):
                still.append(entry)
            changed = {
                name: new[name]
                for name in ("status", "status_history", "refunds", "payments", "cancel")
                if new.get(name) != old.get(name)
            }
            for name in ("shipped_at", "delivered_at"):
                if new["shipping"].get(name) != old["shipping"].get(name):
                    changed[f"shipping.{name}"] = new["shipping"][name]
            if not changed:
                continue
            changed["updated_at"] = new["updated_at"]
            kind = "refund" if "refunds" in changed else "status"
            self.changes.update("orders", full["_id"], kind, {"$set": changed})
            self._book_pending(entry["order"], old, new)
        return still

    def _book_pending(self, order: int, old: Document, new: Document) -> None:
        """The money of refunds and payments that happened in this tick, into the ledger."""
        daily, first = self.w.ledger.daily, self.w.ledger.first
        store = int(self.w.plan.store[order])
        rate = new["fx_rate"].to_decimal() if "fx_rate" in new else Decimal(1)
        counts = self.w.ledger.reasons(order, order + 1)[0] is None

        def pence(amount: Any) -> int:
            gbp = amount.to_decimal() * rate
            return int(gbp.quantize(Decimal("0.01"), ROUND_HALF_UP).scaleb(2))

        def day(moment: Any) -> int:
            return int(local_day(np.array([int(moment.timestamp())]))[0]) - first

        items = {item["line_id"]: item for item in new["items"]}
        for refund in new["refunds"][len(old["refunds"]) :]:
            at = day(refund["at"])
            if counts:
                daily["shipping"][store, at] -= pence(refund["shipping"])
                daily["refund_adjustments"][store, at] += pence(refund["adjustment"])
            for line in refund["lines"]:
                item = items[line["line_id"]]
                back = line.get("restock") == "return"
                if back:
                    self._back_on_shelf(order, item["sku"], line["qty"], refund["at"])
                if not counts:
                    continue
                daily["returns"][store, at] += pence(line["amount"])
                daily["tax"][store, at] -= pence(line["tax"])
                daily["returned_units"][store, at] += line["qty"]
                if back and "unit_cost" in item:
                    cost = int(item["unit_cost"].to_decimal().scaleb(2))
                    daily["cogs"][store, at] -= cost * line["qty"]
        for payment in new["payments"]:
            captured = payment["status"] == "captured" and payment["at"] >= utc(self.since)
            if counts and captured:
                daily["payment_fees"][store, day(payment["at"])] += pence(payment["fee"])

    def _back_on_shelf(self, order: int, sku_code: str, qty: int, moment: Any) -> None:
        c, p, at = self.w.catalogue, self.w.plan, int(moment.timestamp())
        sku = self.sku_index[sku_code]
        place = sku * 2 + (0 if STORES[p.store[order]].id in ("uk", "trade") else 1)
        day = np.array([int(p.placed[order]) // DAY])
        row = int(c.history_at(np.array([c.sku_product[sku]]), day)[0])
        self.w.stock.give_back(place, qty, at)
        ref = {"type": "order", "id": self.w.builder.order_id(order)}
        doc = self.chunk.move(place, "return", at, qty, int(c.history_cost[row]), ref)
        self.changes.insert("inventory_movements", doc)

    def _later(self) -> list[Document]:
        """Reviews and tickets whose time has come. Returns those to keep."""
        keep = [
            {"at": at, "product": product, "stars": stars, "in": name, "doc": doc}
            for at, product, stars, name, doc in self.chunk.later
        ]
        self.chunk.later = []
        for entry in read_documents(self.before / "later.bson"):
            if entry["at"] >= self.now:
                keep.append(entry)
            else:
                self.chunk.say(
                    entry["at"], entry["product"], entry["stars"], entry["in"], entry["doc"],
                    self.now,
                )  # fmt: skip
        return keep

    def _late_changes(self, pending: list[Document]) -> set[str]:
        """Edits up to 90 days late, writes that bump nothing, goodwill, hard deletes."""
        w, r = self.w, rng(self.w.seed, "tick", self.number)
        order_id = w.builder.order_id
        a_day = max(1, w.plan.past // (w.profile.end_day - w.profile.first_day))
        size = max(2, a_day * (self.last - self.first))

        def moment() -> Any:
            return utc(int(r.integers(self.since, self.now)))

        for order in self._take("orders", self._orders_between(90, 1), size // 12 + 2, r):
            new = {"notes": "customer called", "updated_at": moment()}
            self.changes.update("orders", order_id(order), "late_edit", {"$set": new})
        for order in self._take("orders", self._orders_between(90, 1), size // 60 + 2, r):
            new = {"shipping.tracking": f"FIX{order:09d}"}
            self.changes.update("orders", order_id(order), "updated_at_not_bumped", {"$set": new})
        for order in self._take("orders", self._orders_between(90, 20), size // 60 + 1, r):
            at = moment()
            refund = {
                "id": f"ref_{order + 1:08d}_g{self.number}", "at": at, "reason": "goodwill",
                "lines": [], "shipping": decimal(0), "adjustment": decimal(500),
                "method": plan.METHODS[w.plan.method[order]],
            }  # fmt: skip
            self.changes.update(
                "orders", order_id(order), "goodwill",
                {"$push": {"refunds": refund}, "$set": {"updated_at": at}},
                {"refunds.id": {"$ne": refund["id"]}},
            )  # fmt: skip
            self._book_goodwill(order, at)
        known = np.zeros(w.plan.count, dtype=bool)  # orders whose whole worth is known
        known[[w.plan.number_of(row["order_no"]) for row in self._rows() if not _refunded(row)]] = (
            True
        )
        known[[entry["order"] for entry in pending]] = False  # nothing more happens to them
        gone = self._take("orders", self._orders_between(90, 5) & known, size // 100 + 1, r)
        for order in gone:
            self.changes.delete("orders", order_id(order))
        for order in some(r, self._orders_between(90, 5) & w.plan.tracked, 1).tolist():
            self.used.setdefault("orders", set()).add(order)
            self.changes.delete("sessions", w.builder.session_id(order, int(w.plan.placed[order])))
        return {id_text(order_id(order)) for order in gone}

    def _book_goodwill(self, order: int, at: Any) -> None:
        """Five units of the order's currency; the currency decides what that is in GBP."""
        w = self.w
        placed = w.plan.placed[order : order + 1]
        index = CURRENCIES.index(STORES[w.plan.store[order]].currency)
        rate = int(w.maker.rates[index, int(local_day(placed)[0]) - w.maker.rates_first])
        gbp = Decimal(500) * Decimal(rate) / Decimal(10**8)
        day = int(local_day(np.array([int(at.timestamp())]))[0]) - w.ledger.first
        w.ledger.daily["refund_adjustments"][w.plan.store[order], day] += int(
            gbp.quantize(Decimal(1), ROUND_HALF_UP)
        )

    # --- accounts and products ------------------------------------------------------------------

    def _accounts_change(self) -> None:
        w, people, persons = self.w, self.w.people, self.w.persons
        r = rng(w.seed, "tick accounts", self.number)
        index = np.arange(people.count)
        ordinary = (index < people.past) & ~people.guest_only & (people.signup < self.since)
        for group in (persons.hard_deleted, persons.soft_deleted, persons.erased,
                      persons.string_id, self.used.get("people", ())):  # fmt: skip
            ordinary[list(group)] = False
        single = ordinary & (people.second_account < 0)
        two = ordinary & (people.second_account >= 0) & (people.second_signup < self.since)
        two[list(persons.merged)] = False
        at = utc(self.now - 1800)
        share = max(1, people.past * (self.last - self.first) // 60_000)
        for person in self._take("people", single, share, r):
            new = {"deleted_at": at, "updated_at": at}
            identifier = w.builder.user_id(person, 0)
            self.changes.update("users", identifier, "soft_deleted", {"$set": new})
        for person in self._take("people", two, 1, r):
            new = {"merged_into": w.builder.user_id(person, 0), "deleted_at": at, "updated_at": at}
            identifier = w.builder.user_id(person, 1)
            self.changes.update("users", identifier, "merged", {"$set": new})
        single[list(self.used.get("people", ()))] = False
        for person in self._take("people", single, 1, r):
            self._erase(person, at)

    def _erase(self, person: int, at: Any) -> None:
        """A person asks to be forgotten: account and orders are pseudonymised."""
        w, p = self.w, self.w.plan
        gone = dict.fromkeys(("email", "phone", "gender", "birth_date"), "")
        new = {
            "name": {"first": None, "last": None}, "erased_at": at, "updated_at": at,
            "addresses.0.line1": None, "addresses.0.postal": None, "addresses.0.geo": None,
        }  # fmt: skip
        identifier = w.builder.user_id(person, 0)
        self.changes.update("users", identifier, "erased", {"$set": new, "$unset": gone})
        for order in np.flatnonzero((p.person == person) & (p.placed < self.now)).tolist():
            path = "shipping_address" if p.placed[order] < p.version_two_at else "shipping.address"
            new = {f"{path}.line1": None, f"{path}.postal": None, "updated_at": at}
            if p.guest[order]:
                new["guest"] = {"email": None, "phone": None}
            self.changes.update("orders", w.builder.order_id(order), "erased", {"$set": new})

    def _products(self, stock_before: np.ndarray, reviewed_before: np.ndarray) -> None:
        """Prices and costs change with a new updated_at; stock and rating are written without."""
        w, c, chunk = self.w, self.w.catalogue, self.chunk
        moved = np.flatnonzero(chunk.stock_sum != stock_before) // 2
        touched = set(c.sku_product[moved].tolist())
        touched |= set(np.flatnonzero(chunk.reviewed != reviewed_before).tolist())
        inside = (c.history_day >= self.first) & (c.history_day < self.last)
        repriced = set(c.history_product[inside].tolist())
        for p in sorted((touched | repriced) - w.flaws.hard_deleted_products):
            doc = chunk.product(p, self.last)
            new = {"stock": doc["stock"]}
            if doc["rating"]["n"]:
                new["rating"] = doc["rating"]
            kind = "stock_written_directly"
            if p in repriced:
                kind = "price_or_cost"
                new |= {name: doc[name] for name in ("variants", "price_history", "updated_at")}
            self.changes.update("products", doc["_id"], kind, {"$set": new})

    # --- files ----------------------------------------------------------------------------------

    def _write(
        self, target: Path, pending: list[Document], later: list[Document], deleted: set[str]
    ) -> None:
        w = self.w
        for name, documents in (
            ("operations.bson", self.changes.operations),
            ("pending.bson", pending),
            ("later.bson", later),
        ):
            with (target / name).open("wb") as file:
                file.writelines(bson.encode(doc) for doc in documents)
        counts = {name: number + self.changes.balance[name] for name, number in self.counts.items()}
        state = {
            **self.chunk.state(),
            "day": self.last,
            "counts": counts,
            "used": {name: sorted(ids) for name, ids in sorted(self.used.items())},
        }
        (target / "state.json").write_text(json.dumps(state, sort_keys=True))
        rows = w.ledger.days(w.profile.first_day, w.profile.horizon_day)
        quiet = {"0.00", 0}
        truth = {
            "tick": self.number,
            "days": self.last - self.first,
            "from": day_text(self.first),
            "to": day_text(self.last - 1),
            "changes": self.changes.noted,
            "documents": counts,
            "money_added": [
                row
                for row in rows
                if any(value not in quiet for key, value in row.items()
                       if key not in ("store_id", "date"))
            ],
            "deleted_orders": [row for row in self._rows() if row["order_id"] in deleted],
            "flaws": w.log.entries,
            "drift": w.log.drift,
        }  # fmt: skip
        text = json.dumps(truth, indent=1, sort_keys=True, ensure_ascii=False)
        (target / "truth.json").write_text(text + "\n")

    def _rows(self) -> Iterator[dict[str, str]]:
        """The rows of truth/orders.csv: what each order of the past was worth."""
        with (self.folder / "truth" / "orders.csv").open(newline="") as file:
            yield from csv.DictReader(file)


def apply(path: Path, database: Database[Any], progress: Callable[[str, float], None]) -> int:
    """Carry out a tick that was worked out; doing it twice changes nothing.

    Returns: the number of operations.

    Raises:
        UserError: MongoDB stopped answering.
    """
    operations = list(read_documents(path / "operations.bson"))
    inserts: dict[str, list[Document]] = defaultdict(list)
    rest: dict[str, list[UpdateOne | DeleteOne]] = defaultdict(list)
    for operation in operations:
        collection = operation["in"]
        if operation["do"] == "insert":
            inserts[collection].append(operation["doc"])
        elif operation["do"] == "delete":
            rest[collection].append(DeleteOne({"_id": operation["_id"]}))
        else:
            rest[collection].append(UpdateOne(operation["filter"], dict(operation["changes"])))
    try:
        for step, (name, documents) in enumerate(sorted(inserts.items())):
            progress(f"new {name}", step / (len(inserts) + len(rest)))
            _insert_missing(database, name, documents)
        for step, (name, updates) in enumerate(sorted(rest.items()), start=len(inserts)):
            progress(f"changed {name}", step / (len(inserts) + len(rest)))
            database[name].bulk_write(updates, ordered=True)
    except PyMongoError as error:
        raise UserError(
            f"MongoDB stopped answering during the tick ({error}): "
            "start it and run the same command again"
        ) from error
    return len(operations)


def _insert_missing(database: Database[Any], name: str, documents: list[Document]) -> None:
    """Insert; documents that an interrupted run has already inserted stay as they are."""
    try:
        database[name].insert_many(documents, ordered=False)
    except BulkWriteError as error:
        duplicate_key = 11_000
        others = [
            problem
            for problem in (error.details or {}).get("writeErrors", [])
            if problem.get("code") != duplicate_key
        ]
        if others:
            raise UserError(f"MongoDB refused a new document: {others[0]['errmsg']}") from error
