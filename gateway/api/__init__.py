"""HTTP: what callers may ask, and how they are answered. No policy lives here."""
