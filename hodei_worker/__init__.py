"""The agent on a host: it takes jobs over one gRPC stream, its supervisor process runs them, and
what they write and become is kept until the server has committed it. Imports hodei.protocol and
nothing else of hodei; never sees a database."""

__version__ = "0.1.0"
