"""What the parts of a method do: one package for each place that has several, one file for each kind of part."""
