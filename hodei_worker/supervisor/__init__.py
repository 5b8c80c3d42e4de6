"""The parent of the jobs: a small process without gRPC in it, so that spawning is fast and jobs
outlive the agent.

The standard library and orjson only. `wire` is how the agent talks to it; `process` runs one job; `spool` keeps
its output; `journal` its results."""
