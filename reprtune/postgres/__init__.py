"""A private PostgreSQL, without an administrator."""
