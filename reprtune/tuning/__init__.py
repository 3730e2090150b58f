"""What runs a study: designs, stopping, trials, workers, tracking. The one place with Optuna and MLflow."""
