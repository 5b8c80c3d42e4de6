"""What happens to a worker: its registration, its sessions and streams, its heartbeats.
`operations` has the verbs that operators may ask."""
