"""The same documents as partitioned Parquet instead of Postgres rows."""
