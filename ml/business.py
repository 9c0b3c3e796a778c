"""Rules of the business that models share with the warehouse; a test holds the two equal."""

DEFAULT_LEAD_DAYS = 14  # `default_lead_time_days`: where the shop names none
MIN_COST_COVERAGE = 0.8  # `least_cost_coverage` of dbt_project.yml: with less known, no margin
