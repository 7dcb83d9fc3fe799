"""The configuration of the router, and its bounds."""
