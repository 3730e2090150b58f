"""The journal's way to MLflow. MLflow is imported nowhere else, and by no worker."""
