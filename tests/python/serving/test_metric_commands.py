"""`ledgerline metrics …`, in this process."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner, Result

from loaders.errors import UserError
from serving import catalogue_pages, cli
from serving.metrics import MetricStore


@pytest.fixture
def run(store: MetricStore, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """The command on the tiny shop's store."""

    class Lent:
        def __enter__(self) -> MetricStore:
            return store

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(cli, "MetricStore", lambda settings: Lent())
    monkeypatch.setenv("COLUMNS", "250")

    def invoke(*arguments: str) -> Result:
        done = CliRunner().invoke(cli.app, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done

    return invoke


def test_the_list_names_every_metric(run, store: MetricStore) -> None:
    shown = run("list").stdout
    assert all(f" {name} " in shown for name in store.catalogue.metrics)
    assert "cogs" not in run("list", "aov").stdout
    with pytest.raises(UserError, match="no metric has 'xyzzy'"):
        run("list", "xyzzy")


def test_a_metric_is_described_beside_its_variants(run) -> None:
    shown = run("describe", "average_order_value").stdout
    for part in ("M21", "÷ orders", "Daasity", "Polar", "Shopify"):
        assert part in shown
    valued = run("describe", "average_order_value", "--period", "all").stdout
    assert valued.count(" GBP ") >= 4
    with pytest.raises(UserError, match="did you mean average_order_value"):
        run("describe", "avg_order_value")


def test_a_question_as_a_table_says_what_it_rests_on(run) -> None:
    shown = run(
        *("query", "net_sales", "orders", "--by", "country", "--where", "country=GB,IE"),
        *("--period", "last_90_days", "--compare", "previous_period", "--sql"),
    ).stdout
    for part in ("net_sales", "GB", "total", "event basis", "GBP", "reconciled", "agg_sales_cube"):
        assert part in shown
    assert "select" in shown.lower()


def test_a_question_as_json_has_amounts_as_text(run, store: MetricStore) -> None:
    done = json.loads(
        run("query", "net_sales", "--grain", "month", "--period", "all", "--format", "json").stdout
    )
    assert all(isinstance(row["net_sales"], str) for row in done["data"])
    assert done["meta"]["metric_versions"] == {
        "net_sales": store.catalogue.metrics["net_sales"].version
    }
    assert done["meta"]["trust"]["is_reconciled"] is True


def test_a_question_as_csv(run) -> None:
    text = run("query", "orders", "--by", "channel", "--period", "all", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows
    assert list(rows[0]) == ["channel", "orders"]


def test_pages_are_written_checked_and_removed(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(catalogue_pages, "FOLDER", tmp_path / "metrics")
    with pytest.raises(UserError, match="not current"):
        run("docs", "--check")
    run("docs")
    gone = tmp_path / "metrics" / "gone.md"
    gone.write_text("an owner that is no more\n")
    with pytest.raises(UserError, match=r"gone\.md"):
        run("docs", "--check")
    run("docs")
    assert not gone.exists()
    assert run("docs", "--check").exit_code == 0
