"""What belongs to each filter of a network, found from its graph; and the network with and without filters."""
