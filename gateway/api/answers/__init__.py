"""What the ordinary operations answer, as types: one file for each group of addresses.

Law: a field is always there, null where nothing is known, unless its type is said to leave it out. Money is USD, times
are ISO-8601 in UTC, durations are seconds unless the name says otherwise.
"""
