"""The supervisor: a small process without gRPC that runs the jobs, so that a spawn is fast and jobs
survive the end of the agent.

It needs the standard library and orjson only. `wire` is its link to the agent, `process` runs one
job, `spool` keeps the output of jobs and `journal` their results."""
