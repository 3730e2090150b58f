"""The commands of cli.py, a file each. Click only: what is heavy is imported when a command runs."""
