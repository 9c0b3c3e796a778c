"""One module per problem: pure `fit`, `predict` and `evaluate` over data frames, no I/O."""
