"""What a tracking server is told: written to a local journal first, sent from there."""
