"""What Steelyard depends on is made to fail under load; see `__main__`."""
