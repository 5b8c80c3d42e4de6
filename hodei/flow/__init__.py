"""What happens to a job, a file a step: enqueue → dispatch → control (accept, result, cancel) →
logs, with rescue as the net."""
