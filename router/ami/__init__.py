"""The manager interface: the witness of outbound calls that needs nothing from the dialplan."""
