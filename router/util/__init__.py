"""Small helpers that know nothing of calls."""
