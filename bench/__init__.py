"""Measurements of the gateway with everything on. `make bench` prints one table; figures of one run compare."""
