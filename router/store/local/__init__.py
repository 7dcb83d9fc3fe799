"""What is kept on this machine for when a shared store is away."""
