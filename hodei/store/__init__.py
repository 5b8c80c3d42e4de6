"""Where things are kept: all SQL of the project, a module for each table, each statement a constant
above its one function.

Every function takes an open connection first and leaves BEGIN and COMMIT to its caller
(hodei.store.database)."""
