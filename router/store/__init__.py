"""The store: the truth about numbers, and how the table follows it."""
