"""What the numbers of a stored study say. No drawing, no torch."""
