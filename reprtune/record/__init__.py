"""What is stored of a study: typed records, read from and written to Optuna's storage."""
