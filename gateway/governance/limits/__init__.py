"""Limits: requests and tokens within a minute, and requests at a time; of a key, of a tag, of a route."""
