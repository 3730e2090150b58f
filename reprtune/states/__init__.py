"""The store of training states, named by their content. Bytes in, bytes out."""
