"""Jobs, attempts, events, log chunks, workers, tokens and the status as Hodei shows them: one shape
for every way in.

A field is written down here once, with its meaning: the services fill the shapes, gRPC carries
them (`wire`), `--format json` prints them (`rendering`), and docs/json.md is made from them
(`page`)."""
