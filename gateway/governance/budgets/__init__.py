"""Money: what keys, tags and providers may spend, kept by one ledger in the database.

periods   when a budget begins anew (pure)
bounds    what a request can cost at most (pure)
ledger    the rules, of a process and of the database (pure)
accounts  a process's shares of the budgets, and the line of those who wait
gate      what stands before a request
"""
