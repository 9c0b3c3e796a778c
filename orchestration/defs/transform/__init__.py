"""dbt: everything from staging to marts, roll-ups, features and quality."""
