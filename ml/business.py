"""Rules of the business that models share with the warehouse; a test holds the two equal."""

MIN_COST_COVERAGE = 0.8  # `least_cost_coverage` of dbt_project.yml: with less known, no margin
