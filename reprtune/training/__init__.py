"""What one trial does: its data, network, filters, rules and loop. The only package that needs torch."""
