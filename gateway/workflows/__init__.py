"""Durable workflows of prompts: a graph of nodes that inherits routing, cache, records and cost from the gateway.

spec, check    what a definition may say, and all that is wrong with one, at once
templates      text and expressions over what is known; the only door to Jinja
plan           pure: which nodes may run now, which are skipped, how it all ended
bind           pure: a node's fields with everything filled in
"""
