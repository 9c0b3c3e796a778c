"""A real PostgreSQL and a server that speaks MongoDB's wire protocol, for machines without either.

Both come as wheels, run as daemons on loopback TCP with generated passwords, and keep everything
under `LEDGERLINE_HOME` (`.ledgerline/`). Where `POSTGRES_HOST` or `MONGODB_URI` is set, that server
is used and the sandbox's is never started.
"""
