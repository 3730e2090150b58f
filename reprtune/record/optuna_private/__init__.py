"""All that uses private names of Optuna, which may change with every minor version of it."""
