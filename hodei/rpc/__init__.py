"""gRPC: translates between the wire (hodei.proto) and the verbs of flow and fleet; it has no rule of
its own but what a message may be."""
