"""What the demo store planted is found again, within stated bounds, in its clean columns."""

import numpy as np
import pytest
from demo import TRUE_ELASTICITY, demo, price_weeks

from ml import elasticity


@pytest.mark.parametrize("seed", [42, 1])
def test_the_planted_elasticities_are_found(seed):
    """The planted number is the exponent of a choice, so a product that many choose anyway answers
    a little less; and noise is drawn to the middle. Hence bounds: .3 for the shop; .3 on average
    and .65 at most for a category; its order mostly right; five of eight in their intervals."""
    shop = demo(seed)
    model = elasticity.fit(price_weeks(shop.lines))
    assert model.champion == "identified: poisson"  # most products sell twice in three weeks
    table = elasticity.predict(model)
    found = table[(table["level"] == "category") & (table["status"] == "identified")]
    true = found["member"].map(TRUE_ELASTICITY)
    off = (found["elasticity"] - true).abs()
    assert len(found) >= 8 and off.mean() < 0.3 and off.max() < 0.65
    assert found["elasticity"].corr(true, method="spearman") > 0.45
    assert ((found["lo95"] <= true) & (true <= found["hi95"])).sum() >= 5
    weight = shop.lines.groupby("category")["quantity"].sum()
    mean = np.average(weight.index.map(TRUE_ELASTICITY), weights=weight)
    assert table.iloc[0]["elasticity"] == pytest.approx(mean, abs=0.3)
    assert (table.loc[table["level"] == "product", "elasticity"].dropna() < 0).mean() > 0.95
