"""The command line: a gRPC client. Commands import what they need when they run, so that `hodei
--help` is instant."""
