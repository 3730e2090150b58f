"""Images as uint8 arrays, the four parts of a task, and batches augmented on the device."""
