"""What may be wrong with this machine, and the way out."""
