"""Workers on demand: a server starts workers where a row of provider_configs says, and removes them
when they have nothing to do.

`keeper` has a task for each row; `look` is one look at a row: what is there, what waits, and what
`plan` makes of both. `contract` is what a kind of provider has to do, and `docker` does it."""
