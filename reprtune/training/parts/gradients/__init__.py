"""What changes gradients between backward and update, a file for each rule."""
