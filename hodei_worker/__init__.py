"""The worker: an agent that gets jobs over one gRPC stream, and a supervisor process that runs
them. Output and results are kept on this host until a server has committed them. The worker imports
hodei.protocol and nothing else of hodei; it has no access to the database."""

__version__ = "0.1.0"
