"""The wire contract: hodei.proto and what scripts/proto generates from it."""
