"""One trial as a chain of states: its plan, its members, what happens to them, and the names of its states."""
