"""Reviews whose words fit their stars, and the support tickets of the unlucky."""

from __future__ import annotations

from typing import Any

import numpy as np

from sandbox.store import places, plan
from sandbox.store.documents import Builder, Document
from sandbox.store.exact import DAY, rng, utc
from sandbox.store.flaws import Flaws
from sandbox.store.lines import Lines
from sandbox.store.plan import FLAW_CODES

SHARE = 0.085
"""Lines that are reviewed."""

# by language, then by mood: 0 bad, 1 middling, 2 good
TEXTS: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("Very disappointed, the {noun} is poor quality.", "Terrible {noun}, a waste of money.",
         "Awful. I would not buy this {noun} again."),
        ("The {noun} is okay, nothing special.", "Average {noun} for the price.",
         "It does the job, but I expected a bit more."),
        ("Excellent {noun}, I love it!", "Great quality, very happy with this {noun}.",
         "Perfect {noun}, beautiful and well made. Highly recommended."),
    ),
    "de": (
        ("Sehr enttäuscht, schlechte Qualität.", "Schrecklich, reine Geldverschwendung."),
        ("Ganz okay, nichts Besonderes.", "Durchschnittlich für den Preis."),
        ("Ausgezeichnet, ich bin begeistert!", "Tolle Qualität, sehr zufrieden."),
    ),
    "fr": (
        ("Très déçu, mauvaise qualité.", "Horrible, de l'argent gaspillé."),
        ("Correct, sans plus.", "Moyen pour le prix."),
        ("Excellent, je l'adore !", "Très bonne qualité, parfait."),
    ),
    "es": (
        ("Muy decepcionado, mala calidad.", "Terrible, dinero perdido."),
        ("Normal, nada especial.", "Regular por el precio."),
        ("Excelente, me encanta.", "Muy buena calidad, perfecto."),
    ),
}  # fmt: skip
TITLES = {
    "en": (("Terrible", "Disappointed"), ("Okay", "Average"), ("Excellent", "Love it")),
    "de": (("Enttäuscht",), ("Okay",), ("Begeistert",)),
    "fr": (("Déçu",), ("Correct",), ("Parfait",)),
    "es": (("Decepcionado",), ("Normal",), ("Excelente",)),
}
DEFECT = {
    "en": "It broke after a few days.", "de": "Nach wenigen Tagen kaputt.",
    "fr": "Cassé après quelques jours.", "es": "Se rompió a los pocos días.",
}  # fmt: skip
LATE = {
    "en": "It arrived late.", "de": "Kam zu spät an.", "fr": "Livré en retard.",
    "es": "Llegó tarde.",
}  # fmt: skip
TOPICS = ("delivery", "refund", "product_question", "payment", "damaged")


def mood(rating: int) -> int:
    """0 for one and two stars, 1 for three, 2 for four and five."""
    return 0 if rating <= 2 else (1 if rating == 3 else 2)


class Reviewer:
    """Writes reviews of a chunk's orders, each at its own time after delivery."""

    def __init__(self, builder: Builder, flaws: Flaws, seed: int) -> None:
        self.b, self.flaws, self.seed = builder, flaws, seed
        self.number = 0

    def of(self, lines: Lines, first_day: int) -> list[tuple[int, int, int, Document]]:
        """(time, product, stars, review) of the chunk's orders; stars 0 if not published."""
        p, c = self.b.plan, self.b.catalogue
        r = rng(self.seed, "reviews", first_day)
        n = lines.order.size
        eligible = (p.outcome[lines.order] == plan.NORMAL) & ~lines.is_gift & (lines.qty > 0)
        eligible &= p.flaw[lines.order] != FLAW_CODES["hard_deleted"]
        eligible &= p.flaw[lines.order] != FLAW_CODES["unknown_sku"]
        eligible &= lines.position < 12
        product = c.sku_product[lines.sku]
        late = p.delivered[lines.order] > p.promised[lines.order]
        noise = np.round(r.normal(0.0, 0.85, n), 3)
        score = 4.25 + 0.4 * c.quality[product] - 2.4 * c.defective[product] - 0.7 * late + noise
        rating = np.clip(np.floor(score + 0.5), 1, 5).astype(np.int64)
        chosen = np.flatnonzero(eligible & (r.random(n) < SHARE))
        delay = r.integers(2, 41, n) * DAY + r.integers(0, DAY, n)
        pick = r.integers(0, 1 << 20, n)
        found = []
        for line in chosen.tolist():
            order = int(lines.order[line])
            at = int(p.delivered[order] + delay[line])
            stars = int(rating[line])
            doc = self._document(
                order, int(product[line]), stars, bool(late[line]), at, int(pick[line])
            )
            shown = stars if doc["status"] == "published" else 0
            found.append((at, int(product[line]), shown, doc))
        return found

    def _document(
        self, order: int, product: int, rating: int, late: bool, at: int, pick: int
    ) -> Document:
        b, p = self.b, self.b.plan
        self.number += 1
        person = int(p.person[order])
        language = places.COUNTRIES[b.people.country[person]].locale[:2]
        if language not in TEXTS:
            language = "en"
        feeling = mood(rating)
        noun = b.titles[product].split(" No.")[0].split(" ", 1)[-1].lower()
        sentences = TEXTS[language][feeling]
        text = sentences[pick % len(sentences)].format(noun=noun)
        if feeling == 0 and b.catalogue.defective[product]:
            text += " " + DEFECT[language]
        if late and feeling < 2:
            text += " " + LATE[language]
        titles = TITLES[language][feeling]
        status = "published" if pick % 25 else ("pending", "rejected")[pick % 2]
        guest = bool(p.guest[order])
        doc: Document = {
            "_id": b.ids["reviews"].at(self.number, at),
            "schema_version": 2,
            "product_id": b.product_ids[product],
            "user_id": None if guest else b.user_id(person, int(p.account[order])),
            "order_id": b.order_id(order),
            "rating": rating,
            "title": titles[pick % len(titles)],
            "text": text,
            "lang": language,
            "verified": True,
            "votes": pick % 17,
            "status": status,
            "created_at": utc(at),
            "updated_at": utc(at),
        }
        return doc

    def flaw(self, doc: Document, product: int) -> None:
        """Imperfections of a review on the day when it appears."""
        log, identifier = self.flaws.log, doc["_id"]
        number = int.from_bytes(identifier.binary[7:], "big")
        if product in self.flaws.hard_deleted_products:
            log.add("14_orphans", "review_of_deleted_product", "reviews", identifier)
        if number % 19 == 3:
            doc["edited_at"] = doc["updated_at"] = utc(int(doc["created_at"].timestamp()) + 3600)
        turn = number % 60
        if turn == 7:
            doc["text"] = f"<p>{doc['text']}</p><br/>&amp; <b>thanks</b>"
            log.add("17_oddities", "html", "reviews", identifier)
        elif turn == 17:
            doc["text"] += " 😀👍🏽"
            log.add("17_oddities", "emoji", "reviews", identifier)
        elif turn == 27 and number % 120 == 27:
            doc["text"] = doc["text"].replace(" ", "\x00", 1)
            log.add("17_oddities", "nul", "reviews", identifier)
        elif turn == 37:
            true = doc["rating"]
            doc["rating"] = str(true)
            self.flaws.log.drifted("reviews", identifier, "rating", "rating_text",
                                   doc["rating"], str(true))  # fmt: skip
        elif turn == 47 and number % 240 == 47:
            true = doc["verified"]
            doc["verified"] = "yes"
            self.flaws.log.drifted("reviews", identifier, "verified", "boolean_text", "yes",
                                   str(true))  # fmt: skip
        elif turn == 57 and number % 240 == 57:
            doc["order_id"] = None
            log.count("07_missing", "reviews.order_id")

    def tickets(self, lines: Lines, first_day: int) -> list[tuple[int, Document]]:
        """(time, ticket) for 2% of the chunk's orders."""
        p = self.b.plan
        r = rng(self.seed, "tickets", first_day)
        size = lines.hi - lines.lo
        chosen = np.flatnonzero((r.random(size) < 0.02) & (p.outcome[lines.lo : lines.hi] == 0))
        pick = r.integers(0, 1 << 20, size)
        found: list[tuple[int, Document]] = []
        for own in chosen.tolist():
            order = lines.lo + own
            at, draw = int(p.placed[order]) + int(pick[own]) % (12 * DAY), int(pick[own])
            doc: dict[str, Any] = {
                "_id": self.b.ids["support_tickets"].at(order, at),
                "schema_version": 2,
                "user_id": None
                if p.guest[order]
                else self.b.user_id(int(p.person[order]), int(p.account[order])),
                "order_id": self.b.order_id(order),
                "at": utc(at),
                "topic": TOPICS[draw % len(TOPICS)],
                "created_at": utc(at),
                "updated_at": utc(at),
            }
            if draw % 3:
                doc["csat"] = 1 + draw % 5 if draw % 4 == 0 else 4 + draw % 2
            if draw % 10:
                doc["resolved_at"] = utc(at + 3600 + draw % (4 * DAY))
            found.append((at, doc))
        return found
