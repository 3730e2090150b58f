"""One step of training: the loss, its optimizer, and how the step is run on a device."""
