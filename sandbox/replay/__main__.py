"""`python -m sandbox.replay shop.orders=orders.bson`: the server as a process of its own."""

from sandbox.replay.process import main

main()
