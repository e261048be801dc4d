"""``redrive demo``: the whole system on this machine against the sandbox, and whether it did what was to be done.

Nothing in it is staged: it writes the files a user would write, starts the processes a user would start, and then
compares every task with what its script and the documented rules say, and with what the sandbox saw.
"""
