"""Programs of the peers: each runs alone, in an environment that has nothing of Ledgerline.

They read `BENCH_SOURCE` (MongoDB URI), `BENCH_DOCUMENTS` (how many to load) and `BENCH_TARGET`
(Postgres URL), and load `shop.orders` into `public.orders`, as each tool's users would.
"""
