"""A whole Hodei on one machine, for newcomers, for the demo and for tests: PostgreSQL from a wheel,
servers and a worker as processes."""
