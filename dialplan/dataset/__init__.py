"""Data sets: reading, checking, changing."""
