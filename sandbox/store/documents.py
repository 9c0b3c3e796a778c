"""Columns into documents of the shop's database, still without flaws."""

from __future__ import annotations

from typing import Any

from bson import ObjectId

from sandbox.store import places, plan
from sandbox.store.catalogue import CATEGORIES, Catalogue
from sandbox.store.exact import DAY, Ids, decimal, utc
from sandbox.store.lines import DISCOUNT_CODES, ORDER_DISCOUNTS, Lines
from sandbox.store.marketing import CHANNELS, FREE_SOURCES, OBJECTIVES, SOURCES, Marketing
from sandbox.store.people import People
from sandbox.store.plan import Plan
from sandbox.store.profiles import Profile
from sandbox.store.returns import Refund
from sandbox.store.stock import LOCATIONS

Document = dict[str, Any]
_STATUS_BY = ("customer", "system", "warehouse", "carrier")
CARRIERS = ("royal_mail", "dpd", "dhl", "evri")
PROVIDERS = {
    "card": "stripe", "paypal": "paypal", "klarna": "klarna", "cod": "courier",
    "gift_card": "ledgerline", "transfer": "bank",
}  # fmt: skip


class Builder:
    """Makes the documents of one shop; `ids` are the id factories by collection."""

    def __init__(
        self,
        profile: Profile,
        seed: int,
        people: People,
        catalogue: Catalogue,
        marketing: Marketing,
        order_plan: Plan,
    ) -> None:
        self.profile, self.people, self.catalogue = profile, people, catalogue
        self.marketing, self.plan = marketing, order_plan
        self.string_users: frozenset[int] = frozenset()
        self.ids = {
            name: Ids(seed, name)
            for name in (
                "users", "products", "orders", "duplicates", "reviews", "campaigns",
                "campaign_events", "campaign_daily", "sessions", "inventory_movements",
                "support_tickets", "exchange_rates", "unknown",
            )
        }  # fmt: skip
        self.product_ids = [
            self.ids["products"].at(p, int(catalogue.launch[p] - 10) * DAY)
            for p in range(catalogue.products)
        ]
        self.titles = [catalogue.title(p) for p in range(catalogue.products)]
        self.category_names = [catalogue.path(p).split(">")[0] for p in range(catalogue.products)]
        self.campaign_ids = [
            self.ids["campaigns"].at(k, int(marketing.start[k] - 7) * DAY)
            for k in range(marketing.count)
        ]

    # --- users ----------------------------------------------------------------------------------

    def session_id(self, number: int, at: int) -> ObjectId:
        """The id of the session that ended in order `number`."""
        return self.ids["sessions"].at(number, at - 1800)

    def user_id(self, person: int, account: int) -> ObjectId | str:
        """The id of a person's first (0) or second (1) account; a few are texts."""
        people = self.people
        if person in self.string_users:
            return f"usr-{2 * person + account:06d}"
        at = people.second_signup if account else people.signup
        return self.ids["users"].at(2 * person + account, int(at[person]))

    def user(self, person: int, account: int) -> Document:
        """A user document."""
        people = self.people
        at = int((people.second_signup if account else people.signup)[person])
        country = places.COUNTRIES[people.country[person]]
        first, last = people.name(person)
        gender = ("female", "male", "other", None)[people.gender[person]]
        pick = int(people.name_picks[person][0])
        store = places.STORES[people.store[person]]
        document: Document = {
            "_id": self.user_id(person, account),
            "schema_version": 2 if at >= self.plan.version_two_at else 1,
            "email": people.other_email(person) if account else people.email(person),
            "email_verified": pick % 9 > 0,
            "phone": None if people.no_phone[person] else people.phone_number(person),
            "name": {"first": first, "last": last},
            "gender": gender,
            "birth_date": utc(int(people.birth_day[person]) * DAY),
            "locale": country.locale,
            "currency": store.currency,
            "addresses": [{"kind": "home", **people.address(person), "default": True}],
            "signup": {
                "at": utc(at),
                "channel": ("web", "app", "web", "pos")[pick // 7 % 4],
                "device": plan.DEVICES[pick % 3],
            },
            "consent": {
                "email": pick % 3 > 0,
                "sms": pick % 5 == 0,
                "ads": pick % 2 == 0,
                "at": utc(at),
            },
            "tags": ["trade"] if people.store[person] == places.TRADE else [],
            "segment": "b2b" if people.store[person] == places.TRADE else None,
            "created_at": utc(at),
            "updated_at": utc(at),
        }
        return {key: value for key, value in document.items() if value is not None}

    # --- products -------------------------------------------------------------------------------

    def product(self, p: int, stock: dict[str, int], rating: tuple[int, int], day: int) -> Document:
        """A product as it stands at the start of `day`; `rating` is (stars, reviews)."""
        c = self.catalogue
        rows = range(int(c.history_start[p]), int(c.history_start[p + 1]))
        known = [i for i in rows if c.history_day[i] < day]
        price, cost = int(c.history_price[known[-1]]), int(c.history_cost[known[-1]])
        unknown = bool(c.cost_unknown[p])
        version = 2 if int(c.launch[p]) * DAY >= self.plan.version_two_at else 1
        changed = int(c.history_day[known[-1]]) * DAY
        stars, reviews = rating
        variants = []
        for sku in range(int(c.first_sku[p]), int(c.first_sku[p + 1])):
            variant: Document = {
                "sku": c.sku_codes[sku],
                "options": c.options(sku),
                "price": decimal(price),
                "currency": "GBP",
                "weight_g": int(c.sku_weight_g[sku]),
                "barcode": f"50{sku:011d}",
            }
            if sku % 4 == 0:
                variant["compare_at"] = decimal((price * 12 // 1000) * 100 + 99)
            if not unknown:
                variant["cost"] = decimal(cost)
            variants.append(variant)
        history = []
        for i in known:
            entry: Document = {
                "at": utc(int(c.history_day[i]) * DAY),
                "price": decimal(int(c.history_price[i])),
            }
            if not unknown:
                entry["cost"] = decimal(int(c.history_cost[i]))
            history.append(entry)
        path = c.path(p)
        document: Document = {
            "_id": self.product_ids[p],
            "schema_version": version,
            "sku": c.sku_codes[c.first_sku[p]].split("-")[0],
            "title": self.titles[p],
            "brand": c.brand_name(p),
            "status": "active" if int(c.launch[p]) < day else "draft",
            "launched_at": utc(int(c.launch[p]) * DAY),
            "variants": variants,
            "price_history": history,
            "supplier": {
                "id": f"SUP-{c.supplier[p]:02d}",
                "lead_time_days": int(c.lead_days[p]),
                "moq": int(c.moq[p]),
            },
            "stock": stock,
            "rating": {
                "avg": round(stars * 100 // reviews / 100, 2) if reviews else None,
                "n": reviews,
            },
            "attrs": {"material": ("cotton", "steel", "oak", "glass", "recycled")[p % 5]},
            "created_at": utc(int(c.launch[p] - 10) * DAY),
            "updated_at": utc(max(changed, int(c.launch[p] - 10) * DAY)),
        }
        if version == 1:
            document["category"] = path
        else:
            document["categories"] = [path]
            if p % 6 == 0 and ">" in path:
                other = CATEGORIES[(p // 6) % len(CATEGORIES)]
                document["categories"].append(f"{other.name}>Ideas>Gifts")
        return document

    # --- orders ---------------------------------------------------------------------------------

    def order_id(self, order: int) -> ObjectId | str:
        """The id of an order document."""
        return self.ids["orders"].at(order, int(self.plan.placed[order]))

    def order(self, lines: Lines, order: int, refunds: list[Refund]) -> Document:
        """The document of one order as it will be when everything has happened."""
        p, own = self.plan, order - lines.lo
        store = places.STORES[p.store[order]]
        dec = int(lines.decimals[own])
        person, outcome = int(p.person[order]), int(p.outcome[order])
        placed = int(p.placed[order])
        version = 2 if placed >= p.version_two_at else 1
        document: Document = {
            "_id": self.order_id(order),
            "schema_version": version,
            "order_no": p.order_no(order),
            "user_id": None,
            "store_id": store.id,
            "channel": plan.CHANNELS[p.channel[order]],
            "device": plan.DEVICES[p.device[order]],
            "placed_at": utc(placed),
            "status": None,
            "status_history": self._history(order, outcome, refunds, lines),
            "currency": store.currency,
        }
        if p.guest[order]:
            contact = {"email": self.people.email(person)}
            if not self.people.no_phone[person]:
                contact["phone"] = self.people.phone_number(person)
            if p.phone_only[order]:
                del contact["email"]
            document["guest"] = contact
        else:
            document["user_id"] = self.user_id(person, int(p.account[order]))
        if store.currency != "GBP":
            document["fx_rate"] = decimal(int(lines.rate[own]), 8)
        start, stop = int(lines.first[own]), int(lines.first[own + 1])
        document["items"] = [self._item(lines, i, dec) for i in range(start, stop)]
        document["discounts"] = []
        kind = int(lines.discount_kind[own])
        if kind:
            amount = lines.shipping_discount[own] if kind == 4 else lines.discount[own]
            document["discounts"].append(
                {
                    "code": DISCOUNT_CODES[kind],
                    "kind": ORDER_DISCOUNTS[kind],
                    "amount": decimal(int(amount), dec),
                }
            )
        self._shipping(document, lines, order, own, dec, version)
        document["tax"] = {
            "total": decimal(int(lines.total_tax[own]), dec),
            "included": store.tax_included,
        }
        document["payments"] = self._payments(lines, order, own, dec)
        document["refunds"] = [
            self._refund(lines, order, number, refund, dec)
            for number, refund in enumerate(refunds, start=1)
        ]
        net_shipping = int(lines.shipping_price[own] - lines.shipping_discount[own])
        document["totals"] = {
            "gross": decimal(int(lines.gross[own]), dec),
            "discount": decimal(int(lines.total_discount[own]), dec),
            "shipping": decimal(net_shipping, dec),
            "tax": decimal(int(lines.total_tax[own]), dec),
            "grand": decimal(int(lines.grand[own]), dec),
        }
        if outcome in (plan.CANCELLED_UNPAID, plan.CANCELLED_PAID):
            why = "payment_failed" if p.outage[order] else ("customer", "no_stock")[order % 2]
            document["cancel"] = {"at": utc(int(p.cancelled[order])), "reason": why}
        fraud = outcome == plan.FRAUD
        document["fraud"] = {"score": 91 + order % 9 if fraud else order * 7 % 43, "flag": fraud}
        document["utm"] = self.utm(order)
        if outcome == plan.TEST:
            document["is_test"] = True
        document["created_at"] = utc(placed)
        document["updated_at"] = utc(placed)
        return document

    def _item(self, lines: Lines, i: int, dec: int) -> Document:
        c = self.catalogue
        sku = int(lines.sku[i])
        product = int(c.sku_product[sku])
        item: Document = {
            "line_id": str(int(lines.position[i]) + 1),
            "product_id": self.product_ids[product],
            "sku": c.sku_codes[sku],
            "title": self.titles[product],
            "category": self.category_names[product],
            "qty": int(lines.qty[i]),
            "unit_price": decimal(int(lines.unit_price[i]), dec),
            "tax_rate": decimal(int(lines.tax_rate[i]), 4),
            "discounts": [],
        }
        if not c.cost_unknown[product]:
            item["unit_cost"] = decimal(int(lines.unit_cost[i]))
        promotion = int(lines.promotion[i])
        if promotion >= 0:
            item["discounts"].append(
                {
                    "code": c.promotions[promotion].code,
                    "type": "percent",
                    "amount": decimal(int(lines.line_discount[i]), dec),
                }
            )
        if lines.is_gift[i]:
            item["gift_card"] = True
        return item

    def _shipping(
        self, document: Document, lines: Lines, order: int, own: int, dec: int, version: int
    ) -> None:
        p = self.plan
        address = self.people.address(int(p.person[order]))
        shipping: Document = {
            "method": plan.SHIPPING[p.shipping[order]],
            "price": decimal(int(lines.shipping_price[own]), dec),
            "cost": decimal(int(lines.shipping_cost[own])),
        }
        if version == 1:
            document["shipping_address"] = {
                key: address[key] for key in ("line1", "city", "region", "postal", "country")
            }
        else:
            shipping["address"] = address
        if p.outcome[order] in (plan.NORMAL, plan.SAMPLE):
            shipping["promised_at"] = utc(int(p.promised[order]))
            shipping["shipped_at"] = utc(int(p.shipped[order]))
            shipping["delivered_at"] = utc(int(p.delivered[order]))
            if p.channel[order] != 2:
                shipping["carrier"] = CARRIERS[order % 4]
                shipping["tracking"] = f"TRK{order * 7919 % 10**9:09d}"
        document["shipping"] = shipping

    def _history(
        self, order: int, outcome: int, refunds: list[Refund], lines: Lines
    ) -> list[Document]:
        p = self.plan
        events = [("pending", int(p.placed[order]))]
        if outcome in (plan.NORMAL, plan.SAMPLE):
            steps = [("paid", p.paid), ("packed", p.packed), ("shipped", p.shipped),
                     ("delivered", p.delivered)]  # fmt: skip
            events += [(name, int(column[order])) for name, column in steps]
            back = sum(part.qty for refund in refunds for part in refund.lines)
            own = order - lines.lo
            sold = int(lines.qty[lines.first[own] : lines.first[own + 1]].sum())
            if refunds and back >= sold:
                events.append(("returned", refunds[-1].at))
        elif outcome in (plan.GIFT, plan.TEST):
            events.append(("paid", int(p.paid[order])))
        elif outcome == plan.CANCELLED_PAID:
            events += [("paid", int(p.paid[order])), ("cancelled", int(p.cancelled[order]))]
        elif outcome in (plan.CANCELLED_UNPAID, plan.FRAUD):
            events.append(("cancelled", int(p.cancelled[order])))
        events.sort(key=lambda event: event[1])
        return [
            {"status": status, "at": utc(at), "by": _STATUS_BY[min(i, 3)]}
            for i, (status, at) in enumerate(events)
        ]

    def _payments(self, lines: Lines, order: int, own: int, dec: int) -> list[Document]:
        p = self.plan
        outcome = int(p.outcome[order])
        method = plan.METHODS[p.method[order]]
        if outcome in (plan.NON_POSITIVE, plan.SAMPLE) or lines.grand[own] <= 0:
            return []
        payment: Document = {
            "id": f"pay_{order + 1:08d}_1",
            "method": method,
            "provider": PROVIDERS[method],
            "status": "captured",
            "amount": decimal(int(lines.grand[own]), dec),
            "fee": decimal(int(lines.fee[own]), dec),
            "at": utc(int(p.paid[order])),
        }
        failed = {
            **payment,
            "status": "failed",
            "fee": decimal(0, dec),
            "at": utc(int(p.placed[order]) + 15),
            "error": "provider_unavailable" if p.outage[order] else "card_declined",
        }
        if outcome == plan.CANCELLED_UNPAID:
            return [failed] if p.outage[order] or order % 2 else []
        if outcome == plan.FRAUD:
            return [{**failed, "status": "voided", "error": "fraud_suspected"}]
        if method == "card" and order % 29 == 0:
            return [failed, {**payment, "id": f"pay_{order + 1:08d}_2"}]
        return [payment]

    def _refund(self, lines: Lines, order: int, number: int, refund: Refund, dec: int) -> Document:
        parts = []
        for part in refund.lines:
            line: Document = {
                "line_id": str(int(lines.position[part.line]) + 1),
                "qty": part.qty,
                "amount": decimal(part.amount, dec),
                "tax": decimal(part.tax, dec),
            }
            if part.restock is not None:
                line["restock"] = part.restock
            parts.append(line)
        return {
            "id": f"ref_{order + 1:08d}_{number}",
            "at": utc(refund.at),
            "reason": refund.reason,
            "lines": parts,
            "shipping": decimal(refund.shipping, dec),
            "adjustment": decimal(refund.adjustment, dec),
            "method": plan.METHODS[self.plan.method[order]],
        }

    def utm(self, order: int) -> Document:
        """Where the order's last click came from."""
        p, marketing = self.plan, self.marketing
        if p.channel[order] >= 2 or p.no_utm[order]:
            return {}
        k = int(marketing.campaign[order])
        if k >= 0:
            source, medium = SOURCES[CHANNELS[marketing.channel[k]]]
            return {"source": source, "medium": medium, "campaign": marketing.code(k)}
        source, medium = FREE_SOURCES[p.free_source[order]]
        if source is None:
            return {}
        return {"source": source, "medium": medium}

    # --- smaller collections --------------------------------------------------------------------

    def prospect(self, number: int, at: int) -> Document:
        """Somebody who signed up and never bought; every tenth is the shop's own test account."""
        female, male, last = places.names("en_GB")
        firsts = female if number % 2 else male
        test = number % 10 == 3
        document: Document = {
            "_id": self.ids["users"].at((1 << 32) + number, at),
            "schema_version": 2 if at >= self.plan.version_two_at else 1,
            "email": f"qa{number}@ledgerline.example" if test else f"lead{number}@example.net",
            "email_verified": number % 3 > 0,
            "name": {"first": firsts[number % len(firsts)], "last": last[number * 7 % len(last)]},
            "locale": "en_GB",
            "currency": "GBP",
            "addresses": [],
            "signup": {"at": utc(at), "channel": "web", "device": plan.DEVICES[number % 3]},
            "consent": {"email": True, "sms": False, "ads": False, "at": utc(at)},
            "tags": [],
            "created_at": utc(at),
            "updated_at": utc(at),
        }
        if number % 4 == 0:
            started = [
                k for k, start in enumerate(self.marketing.start.tolist()) if start * DAY <= at
            ]
            if started:
                document["signup"]["campaign_id"] = self.campaign_ids[started[-1]]
        if test:
            document["is_test"] = True
        return document

    def campaign(self, k: int, day: int) -> Document:
        """A campaign as it stands at the start of `day`."""
        m = self.marketing
        start, end = int(m.start[k]) * DAY, int(m.end[k]) * DAY
        now = day * DAY
        status = "planned" if now < start else ("finished" if now >= end else "active")
        created = start - 7 * DAY
        return {
            "_id": self.campaign_ids[k],
            "schema_version": 2,
            "name": m.code(k),
            "channel": CHANNELS[m.channel[k]],
            "objective": OBJECTIVES[m.objective[k]],
            "start": utc(start),
            "end": utc(end),
            "budget": decimal(int(m.spend[k].sum()) * 11 // 10),
            "currency": "GBP",
            "target": {"countries": ["GB"] if k % 3 else ["GB", "DE", "FR"]},
            "status": status,
            "created_at": utc(created),
            "updated_at": utc({"planned": created, "active": start, "finished": end}[status]),
        }

    def campaign_day(self, k: int, day: int, claims: tuple[int, int]) -> Document:
        """What the advertising platform reports for one day of a campaign."""
        spend = int(self.marketing.spend[k][day - int(self.marketing.start[k])])
        orders, revenue = claims
        clicks = spend // (28 + k % 40) + orders
        at = (day + 1) * DAY + 3 * 3600
        return {
            "_id": self.ids["campaign_daily"].at(k * 100_000 + day, at),
            "schema_version": 2,
            "campaign_id": self.campaign_ids[k],
            "date": utc(day * DAY),
            "spend": decimal(spend),
            "impressions": clicks * (35 + k % 60),
            "clicks": clicks,
            "platform_conversions": orders,
            "platform_revenue": decimal(revenue),
            "created_at": utc(at),
            "updated_at": utc(at),
        }

    def exchange_rate(self, day: int, index: int, rate: int) -> Document:
        """GBP for one unit of a currency on one day; `rate` in units of 1e-8."""
        at = utc(day * DAY)
        return {
            "_id": self.ids["exchange_rates"].at(day * 8 + index, day * DAY),
            "schema_version": 2,
            "date": at,
            "base": places.CURRENCIES[index],
            "quote": "GBP",
            "rate": decimal(rate, 8),
            "created_at": at,
            "updated_at": at,
        }

    def movement(
        self, number: int, place: int, kind: str, at: int, qty: int, cost: int, ref: Document
    ) -> Document:
        """One inventory movement; `place` is sku * 2 + location."""
        return {
            "_id": self.ids["inventory_movements"].at(number, at),
            "schema_version": 2,
            "sku": self.catalogue.sku_codes[place // 2],
            "location": LOCATIONS[place % 2],
            "at": utc(at),
            "type": kind,
            "qty": qty,
            "unit_cost": decimal(cost),
            "ref": ref,
            "created_at": utc(at),
            "updated_at": utc(at),
        }


def as_of(document: Document, seconds: int) -> Document:
    """An order document as it stood at `seconds`: later events have not happened yet.

    Sets `status` and `updated_at` from what has happened; other fields stay.
    """
    now = utc(seconds)
    history = [event for event in document["status_history"] if event["at"] < now]
    refunds = [refund for refund in document["refunds"] if refund["at"] < now]
    payments = [payment for payment in document["payments"] if payment["at"] < now]
    shipping = {
        key: value
        for key, value in document["shipping"].items()
        if key not in ("shipped_at", "delivered_at") or value < now
    }
    changed = {
        **document,
        "status": history[-1]["status"],
        "status_history": history,
        "refunds": refunds,
        "payments": payments,
        "shipping": shipping,
        "updated_at": max(x["at"] for x in (*history, *refunds, *payments)),
    }
    if "cancel" in document and document["cancel"]["at"] >= now:
        del changed["cancel"]
    return changed
