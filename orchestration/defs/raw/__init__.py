"""Collections of the shop, as they are in the `raw` schema."""
