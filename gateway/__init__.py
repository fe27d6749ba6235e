"""The gateway: one HTTP service in front of many model providers, and the only package that knows the others."""
