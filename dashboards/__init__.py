"""What a person looks at: one module per page, each as info(), figure() and words()."""
