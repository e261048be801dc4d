"""The whole service in one process and one virtual time: any history it can have, from one integer.

Real are the scheduler, the jobs, the sender, the HTTP client, the providers, the ledger and the database. Simulated are
the clock, the dice, the broker, the network with the provider behind it, and when processes die. One thing happens at a
time, so a seed's history is always the same: ``python -m tests.simulation --seed N`` prints it.
"""
