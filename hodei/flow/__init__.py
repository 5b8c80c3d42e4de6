"""What happens to a job, a file for each step: enqueue, dispatch, settle (accepts and results), the
log's intake, cancel; `sweeps` is the net below them. `jobs` has the verbs that callers may ask."""
