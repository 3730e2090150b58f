"""A stored study: created, confirmed, removed, and its trials recomputed and exported."""
