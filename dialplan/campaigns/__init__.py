"""Outbound campaigns: attempts, callbacks, caller IDs."""
