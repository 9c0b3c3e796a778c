"""The Dagster asset graph over loader, dbt and models, and the `ledgerline` command."""
