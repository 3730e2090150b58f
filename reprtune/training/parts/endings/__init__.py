"""What is done once, after the last step, a file for each ending."""
