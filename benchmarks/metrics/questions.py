"""The twenty commonest questions of a dashboard; the tests explain their plans."""

from __future__ import annotations

from serving.metrics import Filter, Question

EIGHT = (
    "total_sales", "net_sales", "orders", "average_order_value", "new_customers", "gross_margin",
    "discount_rate", "net_units",
)  # fmt: skip
MONTH = {"period": "last_month", "compare": "prior_year"}
COMMONEST = {
    "headline cards": Question(EIGHT, **MONTH),
    "cards by country": Question(EIGHT, ("country",), **MONTH),
    "cards by channel": Question(EIGHT, ("channel",), **MONTH),
    "cards by device": Question(EIGHT, ("device",), **MONTH),
    "cards of one country": Question(EIGHT, filters=(Filter("country", ("GB",)),), **MONTH),
    "profit": Question(("net_profit", "cm2", "cm3", "total_cost", "net_sales"), **MONTH),
    "profit by month": Question(("net_sales", "net_profit"), grain="month", period="last_365_days"),
    "sales by day": Question(("total_sales", "orders"), grain="day", period="last_90_days"),
    "sales by week and channel": Question(
        ("net_sales",), ("channel",), grain="week", period="last_90_days"
    ),
    "sales by category": Question(("net_sales", "gross_profit"), ("category",), **MONTH),
    "new and returning": Question(
        ("new_customer_revenue", "returning_customer_revenue", "new_customers"), **MONTH
    ),
    "top products": Question(("net_sales", "net_units"), ("product_name",), limit=20, **MONTH),
    "returns by product": Question(("return_rate",), ("product_name",), limit=20, **MONTH),
    "best day": Question(
        ("total_sales",), grain="day", period="last_year", order=("-total_sales",), limit=1
    ),
    "customers": Question(("active_customers", "returning_customer_rate"), **MONTH),
    "payment methods": Question(("orders", "net_sales"), ("payment_method",), **MONTH),
    "advertising": Question(("marketing_spend", "blended_roas", "cac", "acos"), **MONTH),
    "campaigns": Question(("roas", "campaign_revenue"), ("campaign_name",), **MONTH),
    "funnel": Question(
        ("sessions", "sessions_with_view", "sessions_with_cart", "conversion_rate"), **MONTH
    ),
    "orders of the month, order basis": Question(
        ("net_sales", "returns", "orders"), ("store",), basis="order", **MONTH
    ),
}
# eight figures with their comparison and one breakdown: under 200 ms
DASHBOARD = "cards by country"
