"""The wire contract: hodei.proto and what tools/proto generates from it."""
