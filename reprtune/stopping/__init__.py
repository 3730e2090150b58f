"""Early stopping: who is compared with whom, and who goes on."""
