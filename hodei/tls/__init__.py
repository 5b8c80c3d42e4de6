"""TLS between servers and those who connect to them: addresses, certificates, and why a connection
failed. Shared by servers, the command line, the client for Python, and workers."""
