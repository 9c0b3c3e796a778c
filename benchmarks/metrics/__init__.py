"""How long the questions of a dashboard take."""
