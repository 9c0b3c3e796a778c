"""The shop's documents and the manifest, made of invoice lines. Pure: no server is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
from bson import Decimal128

from sandbox.online_retail.lines import ADJUSTMENT, CREDIT_NOTE, SALE, Lines

STORE = {"store_id": "online_retail", "channel": "web"}
CURRENCY = "GBP"
SCHEMA_VERSION = 2

# ISO 3166-1 codes of the data set's names, as the demo store writes countries. Names that no
# single code stands for (Channel Islands, European Community, West Indies) stay as they are.
COUNTRY_CODES = {
    "Australia": "AU", "Austria": "AT", "Bahrain": "BH", "Belgium": "BE", "Bermuda": "BM",
    "Brazil": "BR", "Canada": "CA", "Cyprus": "CY", "Czech Republic": "CZ", "Denmark": "DK",
    "EIRE": "IE", "Finland": "FI", "France": "FR", "Germany": "DE", "Greece": "GR",
    "Hong Kong": "HK", "Iceland": "IS", "Israel": "IL", "Italy": "IT", "Japan": "JP",
    "Korea": "KR", "Lebanon": "LB", "Lithuania": "LT", "Malta": "MT", "Netherlands": "NL",
    "Nigeria": "NG", "Norway": "NO", "Poland": "PL", "Portugal": "PT", "RSA": "ZA",
    "Saudi Arabia": "SA", "Singapore": "SG", "Spain": "ES", "Sweden": "SE", "Switzerland": "CH",
    "Thailand": "TH", "USA": "US", "United Arab Emirates": "AE", "United Kingdom": "GB",
    "Unspecified": None,
}  # fmt: skip


def orders(lines: Lines) -> Iterator[dict]:
    """Order documents in the order of their first line; a wholly tied C invoice has none."""
    refunds = _refunds(lines)
    rows = lines.frame[lines.frame["tied"] < 0]  # the lines of an invoice lie together
    invoices = pd.factorize(rows["invoice"])[0]
    starts = np.flatnonzero(np.diff(invoices, prepend=-1)).tolist()
    stops = [*starts[1:], len(rows)]
    values = {name: _python(rows[name]) for name in rows.columns}
    money = _money(lines)

    for start, stop in zip(starts, stops, strict=True):
        part = {name: column[start:stop] for name, column in values.items()}
        invoice = part["invoice"][0]
        placed_at = min(part["utc"])
        customer = next(filter(None, part["customer"]), None)
        country = next(filter(None, part["country"]), None)
        items = []
        for number, code, title, quantity, units, at, line_customer, line_country in zip(
            part["number"], part["code"], part["description"], part["quantity"],
            part["units"], part["utc"], part["customer"], part["country"], strict=True,
        ):  # fmt: skip
            item = {
                "line_id": f"{invoice}-{number}",
                "product_id": f"sku-{code}",
                "sku": code,
                "title": title,
                "qty": quantity,
                "unit_price": money(units),
            }
            # where a line says otherwise than its invoice, the line keeps it
            if at != placed_at:
                item["at"] = at
            if line_customer != customer:
                item["user_id"] = line_customer and f"cust-{line_customer}"
            if line_country != country:
                item["address"] = _address(line_country)
            items.append(item)
        repaid = refunds.get(invoice, []) if part["kind"][0] == SALE else []
        gross = money(sum(part["amount"]))
        yield {
            "_id": f"or-{invoice}",
            "order_no": invoice,
            "kind": part["kind"][0],
            "user_id": customer and f"cust-{customer}",
            **STORE,
            "placed_at": placed_at,
            "status": "delivered",  # an invoice is written when the goods leave
            "currency": CURRENCY,
            "items": items,
            "shipping": {"address": _address(country)},
            "tax": {"total": money(0), "included": False},
            "refunds": repaid,
            "totals": {
                "gross": gross,
                "discount": money(0),
                "shipping": money(0),
                "tax": money(0),
                "grand": gross,
            },
            "schema_version": SCHEMA_VERSION,
            "created_at": placed_at,
            "updated_at": max([*part["utc"], *(refund["at"] for refund in repaid)]),
        }


def _address(name: str | None) -> dict[str, str | None]:
    """The country by its code where it has one, and by the name in the source."""
    return {"country": COUNTRY_CODES.get(name, name), "country_name": name}


def _refunds(lines: Lines) -> dict[str, list[dict]]:
    """Sale invoice -> its `refunds[]`, by time and cancelling invoice."""
    money = _money(lines)
    cancels = lines.frame[lines.frame["tied"] >= 0]
    sales = lines.frame.iloc[cancels["tied"]]
    found: dict[str, dict[str, dict]] = defaultdict(dict)
    for sale, sale_number, invoice, number, quantity, amount, at in zip(
        _python(sales["invoice"]), _python(sales["number"]), _python(cancels["invoice"]),
        _python(cancels["number"]), _python(cancels["quantity"]), _python(cancels["amount"]),
        _python(cancels["utc"]), strict=True,
    ):  # fmt: skip
        refund = found[sale].setdefault(
            invoice,
            {"id": invoice, "at": at, "reason": "cancellation", "lines": [], "method": None},
        )
        refund["at"] = min(refund["at"], at)
        refund["lines"].append(
            {
                "line_id": f"{sale}-{sale_number}",
                "qty": -quantity,
                "amount": money(-amount),
                "source_line": f"{invoice}-{number}",
            }
        )
    return {
        sale: sorted(refunds.values(), key=lambda refund: (refund["at"], refund["id"]))
        for sale, refunds in found.items()
    }


def users(lines: Lines) -> Iterator[dict]:
    """One document per customer id; addresses by the last time they were used, latest first."""
    known = lines.frame[lines.frame["customer"].notna()].assign(position=lambda rows: rows.index)
    latest = known.sort_values(["utc", "position"])
    span = latest.groupby("customer")["utc"].agg(["min", "max"])
    countries = latest.dropna(subset="country").drop_duplicates(
        ["customer", "country"], keep="last"
    )
    addresses = countries[::-1].groupby("customer")["country"].agg(list)
    for customer, first, last in zip(
        span.index.tolist(), _python(span["min"]), _python(span["max"]), strict=True
    ):
        yield {
            "_id": f"cust-{customer}",
            "currency": CURRENCY,
            "addresses": [
                {"kind": "shipping", **_address(country), "default": position == 0}
                for position, country in enumerate(addresses.get(customer, []))
            ],
            "signup": {"at": first},
            "schema_version": SCHEMA_VERSION,
            "created_at": first,
            "updated_at": last,
        }


def products(lines: Lines) -> Iterator[dict]:
    """One document per stock code; see the package's docstring for title and price."""
    money = _money(lines)
    rows = lines.frame[["code", "description", "quantity", "units", "utc", "at"]]
    rows = rows.assign(position=rows.index).sort_values(["utc", "position"], ignore_index=True)
    rows["position"] = rows.index
    span = rows.groupby("code")["utc"].agg(["min", "max"])
    sold = rows[(rows["quantity"] > 0) & (rows["units"] > 0)]
    title = pd.concat(  # of lines that were sold, and only for want of those of any line
        [_most_frequent(sold, "description"), _most_frequent(rows, "description")]
    )
    title = title[~title.index.duplicated()]
    month = sold["at"].dt.year * 12 + sold["at"].dt.month
    last_month = month == month.groupby(sold["code"]).transform("max")
    price = _most_frequent(sold[last_month], "units")
    described = rows.dropna(subset="description").drop_duplicates(["code", "description"])
    titles = described.groupby("code")["description"].agg(list)
    for code, first, last in zip(
        span.index.tolist(), _python(span["min"]), _python(span["max"]), strict=True
    ):
        variant = {"sku": code, "currency": CURRENCY}
        if code in price.index:
            variant["price"] = money(int(price[code]))
        yield {
            "_id": f"sku-{code}",
            "sku": code,
            "title": title.get(code),
            "categories": [],
            "status": "active",
            "variants": [variant],
            "attrs": {"titles": titles.get(code, [])},
            "schema_version": SCHEMA_VERSION,
            "created_at": first,
            "updated_at": last,
        }


def _most_frequent(rows: pd.DataFrame, column: str) -> pd.Series:
    """Code -> its most frequent value; of equally frequent ones the one seen last."""
    counted = rows.dropna(subset=column).groupby(["code", column])["position"].agg(["size", "max"])
    counted = counted.reset_index().sort_values(["size", "max"])
    return counted.drop_duplicates("code", keep="last").set_index("code")[column]


def manifest(lines: Lines) -> dict:
    """What came in, in counts and exact sums: the truth that the warehouse is compared with.

    Sums are decimals as text. The same files give the same manifest, whatever their order.
    """
    frame = lines.frame
    exact = lines.money(frame["amount"].sum())
    tied = frame["tied"] >= 0
    parts = {
        "sales": frame["kind"] == SALE,
        "tied_cancellations": tied,
        "untied_cancellations": (frame["kind"] == CREDIT_NOTE) & ~tied,
        "adjustments": frame["kind"] == ADJUSTMENT,
    }
    plain = frame["code"].str.fullmatch(r"\d{5}[A-Za-z]*")
    first = frame.groupby("invoice")[["customer", "country", "at"]].nunique(dropna=False)
    content = ["invoice", "code", "description", "quantity", "at", "units", "customer", "country"]
    return {
        "files": lines.files,
        "overlap": {
            "invoices": lines.overlapping,
            "lines_dropped": lines.dropped,
            "differing_invoices": lines.differing,
        },
        **_totals(lines, frame),
        "sum_rounded": str(round(exact, 2)),
        "customers": int(frame["customer"].nunique()),
        "stock_codes": int(frame["code"].nunique()),
        "lines_without_customer": int(frame["customer"].isna().sum()),
        "exact_duplicate_lines": int(frame.duplicated(content).sum()),
        "invoices_with_several": {
            "customers": int((first["customer"] > 1).sum()),
            "countries": int((first["country"] > 1).sum()),
            "times": int((first["at"] > 1).sum()),
        },
        "parts": {name: _totals(lines, frame[chosen]) for name, chosen in parts.items()},
        "months": {
            str(month): _totals(lines, rows)
            for month, rows in frame.groupby(frame["at"].dt.strftime("%Y-%m"))
        },
        "other_codes": {
            str(code): _totals(lines, rows) for code, rows in frame[~plain].groupby("code")
        },
        "documents": {
            "orders": int(frame.loc[~tied, "invoice"].nunique()),
            "users": int(frame["customer"].nunique()),
            "products": int(frame["code"].nunique()),
        },
    }


def _totals(lines: Lines, rows: pd.DataFrame) -> dict:
    return {
        "lines": len(rows),
        "invoices": int(rows["invoice"].nunique()),
        "quantity": int(rows["quantity"].sum()),
        "sum": str(lines.money(rows["amount"].sum())),
    }


def _money(lines: Lines):
    """Units -> Decimal128, remembered: there are few prices and many lines."""

    @cache
    def money(units: int) -> Decimal128:
        return Decimal128(lines.money(units))

    return money


def _python(column: pd.Series) -> list:
    """Plain Python values: int, str or None, naive datetime."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return column.dt.to_pydatetime().tolist() if len(column) else []
    if pd.api.types.is_integer_dtype(column.dtype):
        return column.tolist()
    return column.astype(object).where(column.notna(), None).tolist()
