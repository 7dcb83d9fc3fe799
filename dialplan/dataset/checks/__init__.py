"""What a change has to pass, one module a check."""
