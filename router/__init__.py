"""The Ringway router: AGI server, store, metrics and commands around `dialplan`."""
