"""A trained network as files."""
