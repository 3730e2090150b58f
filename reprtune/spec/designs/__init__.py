"""Which configurations a comparison has, as values: a list, or what follows from a baseline and factors."""
