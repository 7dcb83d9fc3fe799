"""The manager interface: the source of attempt reports that needs nothing from the dialplan."""
