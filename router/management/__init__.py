"""Use cases of those who look after the data."""
