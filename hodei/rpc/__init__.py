"""gRPC: services that translate between the wire and flow, fleet and store reads; they never open a
transaction."""
