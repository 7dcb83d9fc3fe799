"""How phone numbers are read and shown."""
