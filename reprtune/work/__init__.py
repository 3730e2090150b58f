"""Who works on a study: the queue of its slots, workers, their launcher, and attempts at slots."""
