"""All SQL of the project: a module for each step of a job's life and for each table, and each
statement a constant above the function that runs it.

Every function takes an open connection first. A statement that is run by guarded_rows or brief_rows
(statements.py) is a transaction of its own, unless its caller has opened one (Database.transact).

- How PostgreSQL is reached: database, statements, parameters, listener, times, json_values, sqlstate,
  halves.
- A job's life: creation, claims, accepts, releases, results, late_results, cancels.
- A job of a program's own transaction: enqueue.
- What is looked after: leases, stray_leases, job_queue, dead_rows, invariants, sweep, retention.
- Workers and servers: sessions, workers, worker_bootstrap_tokens, server.
- What is read: jobs, job_story, job_logs.
- The database itself: connecting, suitable, startup, schema, catalog, gaps, rights,
  spec_sql.
"""
