"""Rules of the business that Python and SQL both keep are the same."""

import yaml

from loaders.settings import ROOT
from ml.business import DEFAULT_LEAD_DAYS, MIN_COST_COVERAGE
from ml.churn import churn


def test_models_and_warehouse_keep_the_same_rules() -> None:
    rules = yaml.safe_load((ROOT / "dbt_project.yml").read_text())["vars"]
    assert rules == {
        "least_cost_coverage": MIN_COST_COVERAGE,
        "churn_horizon_days": churn.HORIZON_DAYS,
        "default_lead_time_days": DEFAULT_LEAD_DAYS,
    }
