"""What happens to a worker: registration, and presence on its stream."""
