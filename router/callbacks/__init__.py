"""Attempts and callbacks in a running router."""
