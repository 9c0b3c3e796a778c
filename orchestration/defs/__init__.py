"""The asset graph, one folder per stage, in the order in which a refresh runs them."""
