"""The rules of the place `exchange`; see `reprtune.training.chain.exchanging`."""
