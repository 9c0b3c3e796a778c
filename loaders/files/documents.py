"""Rows of an export as the shop's documents. Pure.

A document holds what the export says and nothing more: a field without a value is left out, a
column that is no field of ours is kept under `attrs`, and a text that is not the number or date it
should be stays that text, which staging turns into null and counts. Two things are added: the
currency, where an export has no column for it, and where it has no items one line over the whole
amount of an order, without which the order would count for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from decimal import Decimal, DivisionByZero, InvalidOperation
from typing import Any

from bson import Decimal128

from loaders.errors import UserError
from loaders.files.mapping import Mapping

Document = dict[str, Any]

_SLASHED = re.compile(r"\s*\d{1,2}/(\d{1,2})/\d{4}")

# field -> where it stands in the document, and how it is read (a method of Reading)
FIELDS: dict[str, dict[str, tuple[str, str]]] = {
    "customers": {
        "id": ("_id", "identifier"),
        "email": ("email", "any"),
        "phone": ("phone", "any"),
        "name": ("name.full", "any"),
        "first_name": ("name.first", "any"),
        "last_name": ("name.last", "any"),
        "gender": ("gender", "any"),
        "birth_date": ("birth_date", "moment"),
        "age_group": ("attrs.age_group", "any"),
        "segment": ("segment", "any"),
        "country": ("address.country", "any"),
        "region": ("address.region", "any"),
        "city": ("address.city", "any"),
        "postal_code": ("address.postal", "any"),
        "address_line": ("address.line1", "any"),
        "currency": ("currency", "any"),
        "locale": ("locale", "any"),
        "signup_at": ("signup.at", "moment"),
        "signup_channel": ("signup.channel", "any"),
        "has_email_consent": ("consent.email", "any"),
        "has_sms_consent": ("consent.sms", "any"),
        "is_test": ("is_test", "any"),
        "deleted_at": ("deleted_at", "moment"),
        "updated_at": ("updated_at", "clock"),
    },
    "products": {
        "id": ("_id", "identifier"),
        "sku": ("sku", "text"),
        "title": ("title", "any"),
        "brand": ("brand", "any"),
        "category": ("categories", "any"),
        "subcategory": ("subcategory", "any"),
        "price": ("variant.price", "number"),
        "compare_at_price": ("variant.compare_at", "number"),
        "cost": ("variant.cost", "number"),
        "currency": ("variant.currency", "any"),
        "weight_g": ("variant.weight_g", "number"),
        "color": ("variant.options.color", "any"),
        "size": ("variant.options.size", "any"),
        "barcode": ("variant.barcode", "text"),
        "stock_level": ("stock.all", "number"),
        "status": ("status", "any"),
        "supplier_id": ("supplier.id", "text"),
        "lead_time_days": ("supplier.lead_time_days", "number"),
        "rating_avg": ("rating.avg", "number"),
        "rating_count": ("rating.n", "number"),
        "launched_at": ("launched_at", "moment"),
        "created_at": ("created_at", "moment"),
        "updated_at": ("updated_at", "clock"),
    },
    "transactions": {
        "id": ("_id", "identifier"),
        "order_no": ("order_no", "text"),
        "customer_id": ("user_id", "identifier"),
        "email": ("guest.email", "any"),
        "phone": ("guest.phone", "any"),
        "placed_at": ("placed_at", "moment"),
        "status": ("status", "any"),
        "store_id": ("store_id", "text"),
        "channel": ("channel", "any"),
        "device": ("device", "any"),
        "currency": ("currency", "any"),
        "fx_rate": ("fx_rate", "number"),
        "total": ("totals.grand", "number"),
        "subtotal": ("totals.gross", "number"),
        "discount": ("totals.discount", "number"),
        "discount_code": ("discount_code", "any"),
        "shipping": ("totals.shipping", "number"),
        "tax": ("totals.tax", "number"),
        "tax_included": ("tax.included", "any"),
        "payment_method": ("payment.method", "any"),
        "payment_fee": ("payment.fee", "number"),
        "shipping_method": ("shipping.method", "any"),
        "country": ("shipping.address.country", "any"),
        "region": ("shipping.address.region", "any"),
        "city": ("shipping.address.city", "any"),
        "postal_code": ("shipping.address.postal", "any"),
        "shipped_at": ("shipping.shipped_at", "moment"),
        "delivered_at": ("shipping.delivered_at", "moment"),
        "cancelled_at": ("cancel.at", "moment"),
        "cancel_reason": ("cancel.reason", "any"),
        "refund_amount": ("refund.adjustment", "number"),
        "refunded_at": ("refund.at", "moment"),
        "utm_source": ("utm.source", "any"),
        "utm_medium": ("utm.medium", "any"),
        "utm_campaign": ("utm.campaign", "any"),
        "is_test": ("is_test", "any"),
        "updated_at": ("updated_at", "clock"),
    },
    "items": {
        "transaction_id": ("transaction_id", "identifier"),
        "line_id": ("line_id", "text"),
        "product_id": ("product_id", "identifier"),
        "sku": ("sku", "text"),
        "title": ("title", "any"),
        "category": ("category", "any"),
        "quantity": ("qty", "number"),
        "unit_price": ("unit_price", "number"),
        "total_price": ("total_price", "number"),
        "discount": ("discount", "number"),
        "unit_cost": ("unit_cost", "number"),
        "tax_rate": ("tax_rate", "number"),
    },
    "reviews": {
        "id": ("_id", "identifier"),
        "product_id": ("product_id", "identifier"),
        "customer_id": ("user_id", "identifier"),
        "order_id": ("order_id", "identifier"),
        "rating": ("rating", "number"),
        "title": ("title", "any"),
        "text": ("text", "any"),
        "language": ("lang", "any"),
        "verified": ("verified", "any"),
        "votes": ("votes", "number"),
        "status": ("status", "any"),
        "created_at": ("created_at", "moment"),
        "updated_at": ("updated_at", "clock"),
    },
}


class RowMaker:
    """Turns the rows of one file into parts of documents.

    Args:
        entity: which kind of file it is.
        mapping: how its columns are found and read.
        is_flat: the file is given as transactions and as items. A column that could be either's
            is the item's; only the transaction's id is both's.

    Attributes:
        fields: fields that have a column, in the rows seen so far -> that column.
        rest: columns that are no field.
    """

    def __init__(self, entity: str, mapping: Mapping, *, is_flat: bool = False) -> None:
        self.entity = entity
        self.mapping = mapping
        self.is_flat = is_flat
        self.fields: dict[str, str] = {}
        self.rest: dict[str, None] = {}
        self._plans: dict[tuple[str, ...], tuple[list, list[str]]] = {}

    def make(self, values: dict[str, Any]) -> Document:
        """The fields of one row, at their places."""
        plan, rest = self.plan(tuple(values))
        reading = self.mapping.reading
        document: Document = {}
        for column, path, read in plan:
            value = values[column]
            if not reading.is_missing(value) and (value := read(value)) is not None:
                _put(document, path, value)
        for column in rest:
            if not reading.is_missing(value := values[column]):
                document.setdefault("attrs", {})[column] = reading.any(value)
        for ours, value in self.mapping.constants.get(self.entity, {}).items():
            path, kind = FIELDS[self.entity][ours]
            _put(document, path.split("."), self._reader(kind)(value))
        return document

    def plan(self, columns: tuple[str, ...]) -> tuple[list, list[str]]:
        """(column, path, reader) of each field that these columns give, and the other columns."""
        if columns not in self._plans:
            found = self.mapping.resolve(self.entity, columns)
            taken = set(found.values())
            if self.is_flat and self.entity == "transactions":
                items = self.mapping.resolve("items", columns)
                theirs = set(items.values()) - {items.get("transaction_id")}
                found = {ours: column for ours, column in found.items() if column not in theirs}
                taken = set(columns)  # what is left is the items'
            elif self.is_flat:
                taken |= set(self.mapping.resolve("transactions", columns).values())
            fields = [(ours, column, *FIELDS[self.entity][ours]) for ours, column in found.items()]
            rest = [name for name in columns if name and name not in taken]
            self._plans[columns] = (
                [(column, path.split("."), self._reader(kind)) for _, column, path, kind in fields],
                rest,
            )
            self.fields = found | self.fields
            self.rest |= dict.fromkeys(rest)
        return self._plans[columns]

    def _reader(self, kind: str) -> Callable[[Any], Any]:
        reading = self.mapping.reading
        if kind == "text":  # numbers of leading zeros, ids of others: never a number of ours
            return lambda value: str(reading.identifier(value))
        if kind == "moment" and not reading.dates:
            return lambda value: reading.moment(_not_month_first(value))
        return getattr(reading, kind)


def _not_month_first(value: Any) -> Any:
    """The value, unless staging would take its month for its day.

    Raises:
        UserError: it is a text such as 02/13/2024, and so are, less plainly, its neighbours.
    """
    match = _SLASHED.match(value) if isinstance(value, str) else None
    if match and int(match[1]) > 12:
        raise UserError(
            f"dates such as {value} are month first: say so in a file given by --mapping, "
            'as in `options: {dates: "%m/%d/%Y %H:%M"}`'
        )
    return value


def _put(document: Document, path: list[str], value: Any) -> None:
    *parents, last = path
    for name in parents:
        document = document.setdefault(name, {})
    document[last] = value


def customer(row: Document) -> Document:
    """A `users` document."""
    address, name = row.pop("address", None), row.get("name")
    if address:
        row["addresses"] = [{"kind": "main", **address, "default": True}]
    if name and "full" in name and not {"first", "last"} & set(name):
        first, _, last = str(name["full"]).strip().rpartition(" ")
        name |= {"first": first, "last": last} if first else {"first": last}
    return row


def product(row: Document) -> Document:
    """A `products` document; several categories stand in one cell with ; or | between them."""
    row.setdefault("sku", str(row["_id"]))
    categories = row.pop("categories", [])
    if isinstance(categories, str):
        categories = [part.strip() for part in re.split(r"[;|]", categories) if part.strip()]
    subcategory = row.pop("subcategory", None)
    if subcategory and len(categories) == 1:
        categories = [f"{categories[0]}>{subcategory}"]
    row["categories"] = categories
    row["variants"] = [{"sku": row["sku"], **row.pop("variant", {})}]
    return row


def review(row: Document) -> Document:
    """A `reviews` document."""
    return row


def order(row: Document, items: Iterable[Document], *, currency: str, has_items: bool) -> Document:
    """An `orders` document of a transaction and its items.

    Args:
        row: the transaction's fields.
        items: its items' fields, in the order of the file.
        currency: where the transaction names none.
        has_items: the export has items; if not, one line stands for the whole amount.
    """
    identity = str(row["_id"])
    totals = row.get("totals", {})
    row.setdefault("order_no", identity)
    row.setdefault("store_id", "main")
    row.setdefault("currency", currency)
    row["items"] = [_item(item, position) for position, item in enumerate(items, start=1)]
    if not has_items and "grand" in totals:
        row["items"] = [{"line_id": "1", "qty": 1, "unit_price": totals["grand"]}]
    code = row.pop("discount_code", None)
    if has_items:
        # without items the line is the amount after all of these
        if "discount" in totals:
            row["discounts"] = [
                {"code": code, "kind": "fixed", "amount": _positive(totals["discount"])}
            ]
        if "shipping" in totals:
            row.setdefault("shipping", {})["price"] = totals["shipping"]
    if "tax" in totals:
        row.setdefault("tax", {})["total"] = totals["tax"]
    payment = row.pop("payment", None)
    if payment:
        amount = {"amount": totals["grand"]} if "grand" in totals else {}
        at = {"at": row["placed_at"]} if "placed_at" in row else {}
        row["payments"] = [{"id": f"{identity}-payment", **payment, **amount, **at}]
    refund = row.pop("refund", None)
    if refund and "adjustment" in refund:
        refund["adjustment"] = _positive(refund["adjustment"])
        row["refunds"] = [{"id": f"{identity}-refund", **refund}]
    return row


def _item(item: Document, position: int) -> Document:
    item.pop("transaction_id", None)
    item.setdefault("line_id", str(position))
    if "product_id" in item:
        item.setdefault("sku", str(item["product_id"]))
    if "unit_price" not in item and "total_price" in item:
        price = _quotient(item["total_price"], item.get("qty", 1))
        if price is not None:
            item["unit_price"] = price
    if "discount" in item:
        item["discounts"] = [{"type": "fixed", "amount": _positive(item.pop("discount"))}]
    return item


def _decimal(value: Any) -> Decimal:
    return value.to_decimal() if isinstance(value, Decimal128) else Decimal(str(value))


def _positive(value: Any) -> Any:
    """A discount or refund without its sign: exports write it either way."""
    return Decimal128(abs(value.to_decimal())) if isinstance(value, Decimal128) else value


def _quotient(total: Any, quantity: Any) -> Decimal128 | None:
    """Unit price of a line that has only its total: as many digits as a Decimal128 has."""
    try:
        return Decimal128(_decimal(total) / _decimal(quantity))
    except (InvalidOperation, DivisionByZero):
        return None
