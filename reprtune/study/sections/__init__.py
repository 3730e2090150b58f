"""What the sections of a study have to do: `next_work` of each kind, in a file of its own."""
