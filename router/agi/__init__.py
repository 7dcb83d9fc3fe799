"""FastAGI: messages, the sans-IO session, the server and the handler."""
