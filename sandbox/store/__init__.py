"""The demo store: one seed gives the same shop, flaws and truth, byte for byte, on any machine."""
