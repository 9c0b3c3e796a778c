"""Web sessions of the tracked sample: journeys of 1 to 8 touches, most without a purchase, bots.

Sessions with a campaign in their utm leave click and impression events behind.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sandbox.store import places, plan
from sandbox.store.documents import Builder, Document
from sandbox.store.exact import DAY, decimal, pick, rng, utc
from sandbox.store.flaws import Flaws
from sandbox.store.lines import Lines
from sandbox.store.marketing import CHANNELS, FREE_SOURCES, FREE_WEIGHTS, SOURCES
from sandbox.store.profiles import Profile

TOUCHES = [38, 22, 14, 10, 7, 4, 3, 2]
"""Journeys that end in an order: share of 1 to 8 touches."""
DEPTHS = ("page_view", "view_item", "add_to_cart", "begin_checkout", "add_payment")
DEPTH_WEIGHTS = [40, 33, 15, 8, 4]
"""How far sessions without a purchase get."""
OS = {"desktop": ("Windows", "macOS", "Linux"), "mobile": ("iOS", "Android"), "tablet": ("iPadOS",)}
LANDING = ("/", "/sale", "/category/electronics", "/category/home", "/product", "/blog")
_OTHERS = 1 << 34
"""Numbers of sessions that don't end in an order start here."""


def break_day(profile: Profile) -> int:
    """On this day and the next the tracking was broken: no purchases, no utm."""
    return profile.end_day - 160


class Tracker:
    """Writes the sessions and campaign events of a chunk."""

    def __init__(
        self, builder: Builder, flaws: Flaws, seed: int, write: Callable[[str, Document], None]
    ) -> None:
        self.b, self.flaws, self.seed, self.write = builder, flaws, seed, write
        self.number = self.event_number = 0
        profile = builder.profile
        per_order = sum((i + 1) * w for i, w in enumerate(TOUCHES)) / sum(TOUCHES)
        rest = max(0, profile.sessions - int(profile.session_orders * per_order))
        self.browsing_per_order = rest / profile.orders
        self.break_day = break_day(profile)

    def days(self, lines: Lines, first_day: int, last_day: int) -> None:
        """Sessions of the orders in `lines`, and of visitors who bought nothing."""
        p = self.b.plan
        r = rng(self.seed, "sessions", first_day)
        size = lines.hi - lines.lo
        tracked = lines.lo + np.flatnonzero(p.tracked[lines.lo : lines.hi])
        touches = 1 + pick(r, TOUCHES, tracked.size)
        for order, count in zip(tracked.tolist(), touches.tolist(), strict=True):
            self._journey(lines, order, count, r)
        pool = lines.sku if lines.sku.size else np.zeros(1, dtype=np.int64)
        self._browsers(round(self.browsing_per_order * size), pool, first_day, last_day, r)

    # --- journeys -------------------------------------------------------------------------------

    def _journey(self, lines: Lines, order: int, count: int, r: np.random.Generator) -> None:
        p, b = self.b.plan, self.b
        placed, person = int(p.placed[order]), int(p.person[order])
        visitor = f"v{person:08x}"
        user = None if p.guest[order] else b.user_id(person, int(p.account[order]))
        country = places.COUNTRIES[b.people.country[person]]
        back = np.sort(r.integers(3600, 29 * DAY, count - 1))[::-1].tolist()
        sources = pick(r, FREE_WEIGHTS, count).tolist()
        depths = pick(r, DEPTH_WEIGHTS, count).tolist()
        k = int(b.marketing.campaign[order])
        start, stop = int(lines.first[order - lines.lo]), int(lines.first[order - lines.lo + 1])
        products = [
            b.product_ids[x]
            for x in b.catalogue.sku_product[lines.sku[start : min(stop, start + 6)]].tolist()
        ]
        device = plan.DEVICES[p.device[order]]
        for step, seconds in enumerate(back):
            first_touch = k if step == 0 and order % 2 else -1
            self._session(
                placed - seconds, visitor, user, device, country.code, self._source(
                    first_touch, sources[step]
                ), products[: depths[step] and 2], depths[step], None, None, first_touch,
            )  # fmt: skip
        self._session(
            placed - 200 - order % 1500, visitor, user, device, country.code,
            self.b.utm(order), products, 4, order, placed, k,
        )  # fmt: skip

    def _source(self, k: int, free: int) -> Document:
        if k >= 0:
            source, medium = SOURCES[CHANNELS[self.b.marketing.channel[k]]]
            return {"source": source, "medium": medium, "campaign": self.b.marketing.code(k)}
        source, medium = FREE_SOURCES[free]
        return {"source": source, "medium": medium} if source else {}

    def _browsers(
        self, count: int, pool: np.ndarray, first_day: int, last_day: int, r: np.random.Generator
    ) -> None:
        """Visitors who buy nothing: 1 to 3 sessions each; 8% of them are bots."""
        if count <= 0:
            return
        b, m = self.b, self.b.marketing
        active = np.flatnonzero((m.start < last_day) & (m.end > first_day))
        started = r.integers(first_day * DAY, last_day * DAY - 3600, count).tolist()
        # a third of the sessions belongs to a visitor seen before
        visitors = np.maximum.accumulate(
            np.where(r.random(count) < 0.67, np.arange(count), 0)
        ).tolist()
        depths = pick(r, DEPTH_WEIGHTS, count).tolist()
        devices = pick(r, [40, 53, 7], count).tolist()
        countries = pick(r, [60] + [2] * 5 + [1] * (len(places.COUNTRIES) - 6), count).tolist()
        free = pick(r, FREE_WEIGHTS, count).tolist()
        campaign = r.integers(0, 5 * max(1, active.size), count).tolist()
        viewed = b.catalogue.sku_product[pool[r.integers(0, pool.size, (count, 2))]].tolist()
        bots = pick(r, [925, 50, 25], count).tolist()
        midnight = (r.random(count) < 0.012).tolist()
        for i in range(count):
            at = started[i]
            if midnight[i]:
                at = at // DAY * DAY + DAY - 10
            k = -1
            if campaign[i] < active.size:
                candidate = int(active[campaign[i]])
                if m.start[candidate] <= at // DAY < m.end[candidate]:
                    k = candidate
            products = [b.product_ids[x] for x in viewed[i]]
            visitor = f"w{first_day:06x}{visitors[i]:06x}"
            code = places.COUNTRIES[countries[i]].code
            device = plan.DEVICES[devices[i]]
            if bots[i]:
                self._bot(at, visitor, code, products, flagged=bots[i] == 1)
            else:
                self._session(at, visitor, None, device, code, self._source(k, free[i]),
                              products, depths[i], None, None, k)  # fmt: skip

    # --- documents ------------------------------------------------------------------------------

    def _session(
        self,
        at: int,
        visitor: str,
        user: object,
        device: str,
        country: str,
        utm: Document,
        products: list[object],
        depth: int,
        order: int | None,
        placed: int | None,
        campaign: int,
    ) -> None:
        b = self.b
        self.number += 1
        broken = self.break_day <= at // DAY < self.break_day + 2
        events: list[Document] = [{"at": utc(at), "type": "page_view"}]
        clock = at
        if self.number % 6 == 0:
            clock += 9
            events.append({"at": utc(clock), "type": "search"})
        if depth >= 1:
            for product in products:
                clock += 21 + self.number % 30
                events.append({"at": utc(clock), "type": "view_item", "product_id": product})
        if depth >= 2:
            for product in products:
                clock += 11
                events.append(
                    {"at": utc(clock), "type": "add_to_cart", "product_id": product, "qty": 1}
                )
            if self.number % 7 == 0 and order is None:
                clock += 30
                events.append(
                    {"at": utc(clock), "type": "remove_from_cart", "product_id": products[0]}
                )
        if depth >= 3:
            clock += 25
            events.append({"at": utc(clock), "type": "begin_checkout"})
        if depth >= 4:
            clock += 30
            events.append({"at": utc(clock), "type": "add_payment"})
        if order is not None and placed is not None:
            identifier = b.session_id(order, placed)
            clock = max(clock + 5, placed)
            if not broken:
                events.append({"at": utc(clock), "type": "purchase", "order_id": b.order_id(order)})
        else:
            identifier = b.ids["sessions"].at(_OTHERS + self.number, at)
        if broken:
            utm = {}
            self.flaws.log.count("18_web", "tracking_break_sessions")
        os_names = OS[device]
        doc: Document = {
            "_id": identifier,
            "schema_version": 2,
            "visitor_id": visitor,
            "started_at": utc(at),
            "ended_at": utc(clock + 12),
            "device": device,
            "os": os_names[self.number % len(os_names)],
            "geo": {"country": country},
            "landing": LANDING[self.number % len(LANDING)],
            "referrer": utm.get("source"),
            "utm": utm,
            "consent": self.number % 8 > 0,
            "is_bot": False,
            "events": events,
            "created_at": utc(at),
            "updated_at": utc(clock + 12),
        }
        if user is not None:
            doc["user_id"] = user
        self._flaw(doc, at, clock + 12)
        self.write("sessions", doc)
        if campaign >= 0:
            self._touch(doc, campaign, at)

    def _flaw(self, doc: Document, at: int, end: int) -> None:
        log, identifier = self.flaws.log, doc["_id"]
        if at // DAY != end // DAY:
            log.add("18_web", "over_midnight", "sessions", identifier)
        turn = self.number % 200
        if turn == 50 and doc["utm"]:
            true = doc["utm"]["source"]
            doc["utm"] = {**doc["utm"], "source": true.upper()}
            log.add("18_web", "utm_misspelt", "sessions", identifier,
                    stored=doc["utm"]["source"], true=true)  # fmt: skip
        elif turn == 100:
            doc["consent"] = "yes" if doc["consent"] else "no"
            log.drifted("sessions", identifier, "consent", "boolean_text", doc["consent"],
                        str(doc["consent"] == "yes"))  # fmt: skip
        elif turn == 150:
            doc["started_at"] = doc["started_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
            log.drifted("sessions", identifier, "started_at", "date_iso_text",
                        doc["started_at"], doc["started_at"])  # fmt: skip
        elif turn == 199:
            doc["events"][0]["value"] = float("inf")
            log.add("17_oddities", "infinity", "sessions", identifier, path="events.0.value")

    def _bot(
        self, at: int, visitor: str, country: str, products: list[object], *, flagged: bool
    ) -> None:
        """Sixty pages in a minute; some call themselves bots, some don't."""
        self.number += 1
        events = [
            {"at": utc(at + i // 2), "type": ("page_view", "view_item")[i % 2],
             **({"product_id": products[i // 2 % 2]} if i % 2 else {})}
            for i in range(60)
        ]  # fmt: skip
        doc: Document = {
            "_id": self.b.ids["sessions"].at(_OTHERS + self.number, at),
            "schema_version": 2,
            "visitor_id": visitor,
            "started_at": utc(at),
            "ended_at": utc(at + 31),
            "device": "desktop",
            "os": "Linux",
            "geo": {"country": country},
            "landing": "/",
            "referrer": None,
            "utm": {},
            "consent": False,
            "is_bot": flagged,
            "events": events,
            "created_at": utc(at),
            "updated_at": utc(at + 31),
        }
        kind = "bot_declared" if flagged else "bot_undeclared"
        self.flaws.log.add("18_web", kind, "sessions", doc["_id"])
        self.write("sessions", doc)

    def _touch(self, session: Document, k: int, at: int) -> None:
        """The click that opened a session, and up to two earlier views (sends for e-mail)."""
        mailed = CHANNELS[self.b.marketing.channel[k]] in ("email", "sms")
        earlier = ("send", "open") if mailed else ("impression", "impression")
        for back in range(self.number % 3):
            self._event(k, at - (2 - back) * 4_000, earlier[back], session, None)
        self._event(k, at - 2, "click", session, None if mailed else 15 + self.number % 90)

    def _event(self, k: int, at: int, kind: str, session: Document, cost: int | None) -> None:
        self.event_number += 1
        doc: Document = {
            "_id": self.b.ids["campaign_events"].at(self.event_number, at),
            "schema_version": 2,
            "campaign_id": self.b.campaign_ids[k],
            "at": utc(at),
            "type": kind,
            "visitor_id": session["visitor_id"],
            "device": session["device"],
            "geo": session["geo"],
            "created_at": utc(at),
            "updated_at": utc(at),
        }
        if "user_id" in session:
            doc["user_id"] = session["user_id"]
        if kind == "click":
            doc["session_id"] = session["_id"]
        if cost is not None:
            doc["cost"] = decimal(cost)
        self.write("campaign_events", doc)
