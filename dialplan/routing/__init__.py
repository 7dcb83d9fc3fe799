"""One call, one decision."""
