"""An HTTP/1.1 client on asyncio: one connection, where it leads, how it is made, and the pool that keeps it.

Only `providers.transport` uses it, and says there why it exists.
"""
