"""What is around a trial: the device, random seeds, a person's own code, and the source of ours."""
