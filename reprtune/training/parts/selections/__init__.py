"""What decides how many filters are dropped, and which of the ranked."""
