"""Workers on demand: a server starts workers where a row of provider_configs says, and removes them
when they have nothing to do.

`keeper` has a task for each row; `reconciliation` is one pass over a row: it finds what is there and
what waits, asks `plan` what to do about it, and has `carry_out` do it. `contract` is what a kind of
provider has to do, and `docker` does it."""
