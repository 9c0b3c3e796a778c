"""Makes a whole store: month by month into BSON files, with the truth beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import bson
import numpy as np
from bson.codec_options import CodecOptions

from sandbox.store import answers, places
from sandbox.store.catalogue import Catalogue
from sandbox.store.documents import Builder, Document, as_of
from sandbox.store.exact import DAY, plain, rng, utc
from sandbox.store.flaws import FlawLog, Flaws, PersonFlaws
from sandbox.store.lines import LineMaker, Lines
from sandbox.store.marketing import Books, Marketing
from sandbox.store.people import People
from sandbox.store.plan import Plan
from sandbox.store.profiles import EPOCH, Profile
from sandbox.store.returns import Refund, refunds
from sandbox.store.reviews import Reviewer
from sandbox.store.sessions import Tracker
from sandbox.store.stock import LOCATIONS, Movements, Stock
from sandbox.store.truth import Ledger, day_text
from sandbox.store.writer import Folder

FORMAT = 2
"""Raised when the same seed gives other data than before."""


def months(first_day: int, last_day: int) -> Iterator[tuple[int, int]]:
    """Calendar months (UTC) that make up [first_day, last_day)."""
    day = first_day
    while day < last_day:
        today = date.fromordinal(EPOCH + day)
        following = date(today.year + today.month // 12, today.month % 12 + 1, 1)
        stop = min(following.toordinal() - EPOCH, last_day)
        yield day, stop
        day = stop


class World:
    """Everything about a store that is decided before its first order is written."""

    def __init__(self, profile: Profile, seed: int) -> None:
        self.profile, self.seed = profile, seed
        self.marketing = Marketing(profile, seed)
        self.people = People(profile, seed, self.marketing.lift_per_day())
        self.people.accounts()
        self.marketing.assign(self.people.arrivals.placed)
        self.plan = Plan(profile, seed, self.people, self.marketing)
        self.catalogue = Catalogue(profile, seed)
        self.stock = Stock(profile, seed, self.catalogue)
        self.maker = LineMaker(self.plan, self.people, self.catalogue, self.stock)
        self.builder = Builder(
            profile, seed, self.people, self.catalogue, self.marketing, self.plan
        )
        self.log = FlawLog()
        self.persons = PersonFlaws(self.people, seed)
        self.builder.string_users = self.persons.string_id
        self.flaws = Flaws(self.builder, self.persons, self.log)
        self.flaws.plan_products(seed)
        self.ledger = Ledger(self.plan, self.catalogue)
        self.books = Books(self.marketing)


Write = Callable[[str, Document], None]
"""Takes a collection's name and a document."""


class Chunk:
    """Writes the documents of a stretch of days; the generator and `tick` share it."""

    def __init__(self, world: World, write: Write) -> None:
        self.world, self.write = world, write
        self.movement_number = 0
        self.stock_sum = np.zeros(2 * world.catalogue.skus, dtype=np.int64)
        self.receipts = 0
        self.pending: list[Document] = []
        """Orders with events still to come, as they will be in the end."""
        self.later: list[tuple[int, int, int, str, Document]] = []
        """Reviews and tickets still to come: (at, product, stars, collection, document)."""
        self.reviewer = Reviewer(world.builder, world.flaws, world.seed)
        self.tracker = Tracker(world.builder, world.flaws, world.seed, write)
        self.stars = np.zeros(world.catalogue.products, dtype=np.int64)
        self.reviewed = np.zeros(world.catalogue.products, dtype=np.int64)

    def days(self, first_day: int, last_day: int, cutoff: int) -> tuple[Lines, dict, list]:
        """Orders, movements and refunds of the UTC days [first_day, last_day).

        Events at or after `cutoff` haven't happened; orders that have some go to `pending`.
        """
        w = self.world
        extra = Movements()
        lines = w.maker.days(first_day, last_day, extra)
        w.stock.month_end(last_day - 1, extra)
        back = refunds(w.plan, w.catalogue, lines)
        rows = w.ledger.book(lines, back, cutoff)
        self._orders(lines, back, first_day, cutoff)
        self._sales(lines)
        self._stock_movements(extra)
        self._returns(lines, back, 0, cutoff)
        self.tracker.days(lines, first_day, last_day)
        for at, product, stars, doc in self.reviewer.of(lines, first_day):
            self.say(at, product, stars, "reviews", doc, cutoff)
        for at, doc in self.reviewer.tickets(lines, first_day):
            self.say(at, 0, 0, "support_tickets", doc, cutoff)
        self._campaign_days(lines, rows, first_day, last_day)
        return lines, back, rows

    def say(
        self, at: int, product: int, stars: int, collection: str, doc: Document, cutoff: int
    ) -> None:
        """Write a review or ticket, or keep it for later."""
        if at >= cutoff:
            self.later.append((at, product, stars, collection, doc))
            return
        if collection == "reviews":
            self.reviewer.flaw(doc, product)
        if stars:
            self.stars[product] += stars
            self.reviewed[product] += 1
        self.write(collection, doc)

    def _campaign_days(
        self, lines: Lines, rows: list[tuple[Any, ...]], first_day: int, last_day: int
    ) -> None:
        w, m = self.world, self.world.marketing
        net = np.array([row[3] - row[4] for row in rows], dtype=np.int64)
        counts = np.array([row[1] is None for row in rows], dtype=bool)
        w.books.book(lines.lo, w.plan.placed[lines.lo : lines.hi] // DAY, net, counts)
        for k in np.flatnonzero((m.start < last_day) & (m.end > first_day)).tolist():
            for day in range(max(first_day, int(m.start[k])), min(last_day, int(m.end[k]))):
                claims = w.books.claims(k, day)
                self.write("campaign_daily", w.builder.campaign_day(k, day, claims))

    def _orders(
        self, lines: Lines, back: dict[int, list[Refund]], first_day: int, cutoff: int
    ) -> None:
        w = self.world
        draws = rng(w.seed, "missing", first_day).random(
            lines.order.size + 3 * (lines.hi - lines.lo)
        )
        draws = np.round(draws, 6).tolist()
        clock_hour = set(w.plan.clock_hour.tolist())
        never_seen = set(np.flatnonzero(w.plan.has("hard_deleted")).tolist())
        at = 0
        starts = lines.first.tolist()
        for order in range(lines.lo, lines.hi):
            own = order - lines.lo
            doc = w.builder.order(lines, order, back.get(order, []))
            session = self.session_of(order)
            if session is not None:
                doc["session_id"] = session
            if order in clock_hour:
                w.flaws.clock_hour(doc)
            last = doc["status_history"][-1]["at"]
            if doc["refunds"]:
                last = max(last, doc["refunds"][-1]["at"])
            if last.timestamp() >= cutoff and order not in never_seen:
                # a deep copy: the flaws below change what is nested in the document
                copy = bson.decode(bson.encode(doc), CodecOptions(tz_aware=True))
                self.pending.append({"order": order, "doc": copy})
            doc = as_of(doc, cutoff)
            self._note(order, doc, back.get(order, []), cutoff)
            stop = at + 3 + starts[own + 1] - starts[own]
            for written in w.flaws.order(doc, order, draws[at:stop]):
                self.write("orders", written)
            at = stop

    def _note(self, order: int, doc: Document, back: list[Refund], cutoff: int) -> None:
        """Refunds by kind, and orders that change two weeks or more after they were placed."""
        w, placed, identifier = self.world, int(self.world.plan.placed[order]), doc["_id"]
        if w.plan.has_one("hard_deleted", order):
            return
        late = (doc["updated_at"].timestamp() - placed) >= 14 * DAY
        late &= not w.plan.has_one("updated_at_not_bumped", order)
        if late or w.plan.has_one("late_edit", order):
            w.log.add("01_late_updates", "orders", "orders", identifier)
        for refund in back:
            if refund.at < cutoff:
                w.log.add("13_refunds", refund.kind, "orders", identifier)
                if utc(refund.at).month != utc(placed).month:
                    w.log.add("13_refunds", "in_another_month", "orders", identifier)

    def state(self) -> dict[str, Any]:
        """What `tick` needs to go on, as plain numbers."""
        return {
            "stock": self.world.stock.state(),
            "stock_sum": self.stock_sum.tolist(),
            "stars": self.stars.tolist(),
            "reviewed": self.reviewed.tolist(),
            "numbers": {
                "movement": self.movement_number,
                "receipts": self.receipts,
                "review": self.reviewer.number,
                "session": self.tracker.number,
                "event": self.tracker.event_number,
            },
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `state` was taken."""
        self.world.stock.restore(state["stock"])
        for name in ("stock_sum", "stars", "reviewed"):
            setattr(self, name, np.array(state[name], dtype=np.int64))
        numbers = state["numbers"]
        self.movement_number, self.receipts = numbers["movement"], numbers["receipts"]
        self.reviewer.number = numbers["review"]
        self.tracker.number, self.tracker.event_number = numbers["session"], numbers["event"]

    def session_of(self, order: int) -> Any:
        """The web session that ended in this order, if its journey was recorded."""
        if not self.world.plan.tracked[order]:
            return None
        return self.world.builder.session_id(order, int(self.world.plan.placed[order]))

    def product(self, p: int, day: int) -> Document:
        """A product's clean document at the start of `day`, with its stock and rating."""
        first, stop = 2 * self.world.catalogue.first_sku[p : p + 2]
        stock = {
            name: int(self.stock_sum[first + side : stop + side : 2].sum())
            for side, name in enumerate(LOCATIONS)
        }
        rating = (int(self.stars[p]), int(self.reviewed[p]))
        return self.world.builder.product(p, stock, rating, day)

    # --- stock ----------------------------------------------------------------------------------

    def move(self, place: int, kind: str, at: int, qty: int, cost: int, ref: Document) -> Document:
        """A numbered movement, added to the sum of its place."""
        self.movement_number += 1
        self.stock_sum[place] += qty
        return self.world.builder.movement(self.movement_number, place, kind, at, qty, cost, ref)

    def _sales(self, lines: Lines) -> None:
        w = self.world
        takes = np.flatnonzero(lines.takes_stock)
        places_taken = (lines.sku * 2 + lines.location)[takes].tolist()
        orders, qty = lines.order[takes].tolist(), lines.qty[takes].tolist()
        cost = lines.unit_cost[takes].tolist()
        at = w.plan.placed[lines.order[takes]].tolist()
        order_id, identifier, previous = w.builder.order_id, None, -1
        for place, order, units, pence, moment in zip(
            places_taken, orders, qty, cost, at, strict=True
        ):
            if order != previous:
                identifier, previous = order_id(order), order
            ref = {"type": "order", "id": identifier}
            doc = self.move(place, "sale", moment, -units, pence, ref)
            if self.movement_number % 250 == 100:
                doc["at"] = utc(moment + 2 * DAY)
                w.log.add("19_stock", "out_of_order", "inventory_movements", doc["_id"],
                          sku=doc["sku"], true=day_text(moment // DAY))  # fmt: skip
            self.write("inventory_movements", doc)

    def _stock_movements(self, extra: Movements) -> None:
        w, c = self.world, self.world.catalogue
        for kind, place, at, qty, (ref_kind, ref_id) in zip(
            extra.kind, extra.place, extra.at, extra.qty, extra.ref, strict=True
        ):
            product = c.sku_product[place // 2]
            row = int(c.history_at(np.array([product]), np.array([at // DAY]))[0])
            ref = {"type": ref_kind, "id": ref_id}
            doc = self.move(place, kind, at, qty, int(c.history_cost[row]), ref)
            if kind == "receipt":
                self.receipts += 1
                doc["expected_at"] = utc(at - (self.receipts % 4) * DAY)
                if self.receipts % 150 == 40:
                    self.stock_sum[place] -= qty
                    w.log.add("19_stock", "receipt_missing", "inventory_movements", doc["_id"],
                              sku=doc["sku"], location=doc["location"], qty=qty)  # fmt: skip
                    continue
                if self.receipts % 150 == 90:
                    doc["at"] = utc(at + 3 * DAY)
                    w.log.add("19_stock", "out_of_order", "inventory_movements", doc["_id"],
                              sku=doc["sku"], true=day_text(at // DAY))  # fmt: skip
            self.write("inventory_movements", doc)

    def _returns(
        self, lines: Lines, back: dict[int, list[Refund]], since: int, cutoff: int
    ) -> None:
        """Movements for goods that came back to the shelf between `since` and `cutoff`."""
        w = self.world
        for order in sorted(back):
            for refund in back[order]:
                if not since <= refund.at < cutoff:
                    continue
                for part in refund.lines:
                    line = part.line
                    if part.restock != "return" or not lines.takes_stock[line]:
                        continue
                    place = int(lines.sku[line] * 2 + lines.location[line])
                    w.stock.give_back(place, part.qty, refund.at)
                    ref = {"type": "order", "id": w.builder.order_id(order)}
                    doc = self.move(
                        place, "return", refund.at, part.qty, int(lines.unit_cost[line]), ref
                    )
                    self.write("inventory_movements", doc)


def generate(
    profile: Profile, seed: int, path: Path, progress: Callable[[str, float], None]
) -> None:
    """Write the store's files into `path`.

    Args:
        progress: called with what is being done and the share that is done, 0 to 1.

    Raises:
        UserError: the files can't be written.
    """
    progress("people and products", 0.0)
    world = World(profile, seed)
    header = {"format": FORMAT, "profile": profile.name, "seed": seed,
              "end": day_text(profile.end_day - 1)}  # fmt: skip
    with Folder(path, header) as folder:
        Store(world, folder, progress).write()


class Store:
    """One run of the generator."""

    def __init__(
        self, world: World, folder: Folder, progress: Callable[[str, float], None]
    ) -> None:
        self.w, self.folder, self.progress = world, folder, progress

    def write(self) -> None:
        """Write all collections and the truth."""
        w, profile = self.w, self.w.profile
        chunk = Chunk(w, self.folder.add)
        self._users()
        cutoff = profile.end_day * DAY
        spans = list(months(profile.first_day, profile.end_day))
        self.folder.text("truth/orders.csv", self._order_rows(chunk, spans, cutoff))
        self._negative_stock(chunk)
        self._products(chunk)
        self._campaigns()
        self._rates()
        self._truth(chunk)

    def _order_rows(self, chunk: Chunk, spans: list[tuple[int, int]], cutoff: int) -> Iterator[str]:
        """Write month by month; yields the lines of truth/orders.csv meanwhile."""
        w = self.w
        yield (
            "order_id,order_no,person,is_guest,store_id,order_date,is_countable,exclusion_reason,"
            "gross_sales,discounts,returns,shipping,tax,cogs,units\n"
        )
        for number, (first, last) in enumerate(spans):
            self.progress(f"orders of {day_text(first)[:7]}", number / len(spans))
            _, _, rows = chunk.days(first, last, cutoff)
            for order, reason, day, *pence, units in rows:
                yield ",".join(
                    (
                        str(w.builder.order_id(order)),
                        w.plan.order_no(order),
                        str(w.plan.person[order]),
                        str(w.plan.guest[order]).lower(),
                        places.STORES[w.plan.store[order]].id,
                        day_text(day),
                        str(reason is None).lower(),
                        reason or "",
                        *map(plain, pence),
                        f"{units}\n",
                    )
                )

    def _negative_stock(self, chunk: Chunk) -> None:
        """Two counts on the last evening found less than nothing."""
        w, c = self.w, self.w.catalogue
        at = w.profile.end_day * DAY - 1
        for sku in (c.skus // 3, c.skus // 2):
            place = 2 * sku
            product = np.array([c.sku_product[sku]])
            cost = int(c.history_cost[c.history_at(product, np.array([at // DAY]))[0]])
            qty = -int(chunk.stock_sum[place]) - 5
            ref = {"type": "stocktake", "id": f"ST{sku}"}
            doc = chunk.move(place, "adjustment", at, qty, cost, ref)
            self.folder.add("inventory_movements", doc)
            w.log.add("19_stock", "negative", "inventory_movements", doc["_id"],
                      sku=doc["sku"], location=doc["location"], on_hand=-5)  # fmt: skip

    def _users(self) -> None:
        w, people, cutoff = self.w, self.w.people, self.w.profile.end_day * DAY
        for person in range(people.past):
            accounts = []
            if not people.guest_only[person] and people.signup[person] < cutoff:
                accounts.append(0)
            if people.second_account[person] >= 0 and people.second_signup[person] < cutoff:
                accounts.append(1)
            for account in accounts:
                doc = w.flaws.user(w.builder.user(person, account), person, account)
                if doc is not None:
                    self.folder.add("users", doc)
        first, end = w.profile.first_day * DAY, cutoff
        count = max(12, people.past // 25)
        for number in range(count):
            at = first + (end - first) * (2 * number + 1) // (2 * count)
            self.folder.add("users", w.builder.prospect(number, at))

    def _products(self, chunk: Chunk) -> None:
        w, c = self.w, self.w.catalogue
        for p in range(c.products):
            if c.launch[p] - 10 >= w.profile.end_day:
                continue
            doc = w.flaws.product(chunk.product(p, w.profile.end_day), p)
            if doc is not None:
                self.folder.add("products", doc)

    def _rates(self) -> None:
        w = self.w
        for day in range(w.profile.first_day - 1, w.profile.end_day):
            for index in range(1, len(places.CURRENCIES)):
                rate = int(w.maker.rates[index, day - w.maker.rates_first])
                self.folder.add("exchange_rates", w.builder.exchange_rate(day, index, rate))

    def _campaigns(self) -> None:
        w, end = self.w, self.w.profile.end_day
        for k in range(w.marketing.count):
            if w.marketing.start[k] - 7 < end:
                self.folder.add("campaigns", w.builder.campaign(k, end))

    def _truth(self, chunk: Chunk) -> None:
        w, folder, profile = self.w, self.folder, self.w.profile
        first, last = profile.first_day, profile.end_day
        folder.json("truth/totals.json", w.ledger.totals(first, last))
        folder.rows("truth/daily.json", w.ledger.days(first, last))
        folder.rows("truth/monthly.json", w.ledger.months(first, last))
        answers.note_flaws(w)
        folder.json("truth/flaws.json", w.log.entries)
        folder.rows("truth/drift.json", w.log.drift)
        folder.rows("truth/customers.json", answers.customers(w))
        folder.rows("truth/identity.json", answers.identities(w))
        folder.rows("truth/campaigns.json", answers.campaigns(w))
        folder.json("truth/model.json", answers.model(w, chunk.stock_sum))
        folder.json("truth/facts.json", answers.facts(w))
        folder.json(
            "truth/counts.json",
            {
                "documents": {name: file.documents for name, file in folder.files.items()},
                "clean": {
                    "customers": profile.customers, "orders": profile.orders,
                    "lines": profile.lines, "products": profile.products,
                },
                "imperfections": w.log.numbers,
            },
        )  # fmt: skip
        folder.binary("pending.bson", (bson.encode(doc) for doc in chunk.pending))
        folder.binary(
            "later.bson",
            (
                bson.encode({"at": at, "product": product, "stars": stars, "in": name, "doc": doc})
                for at, product, stars, name, doc in chunk.later
            ),
        )
        folder.json("state.json", chunk.state())
