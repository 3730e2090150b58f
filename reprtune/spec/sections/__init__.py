"""The kinds of work in a study, as values: arms that are compared, a search, a confirmation."""
