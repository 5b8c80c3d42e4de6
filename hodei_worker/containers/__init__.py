"""The executor of jobs in containers, in a process of its own: it speaks to a Docker Engine and, by
the protocol of the supervisor, to the agent."""
