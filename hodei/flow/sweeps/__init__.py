"""The net below everything else: what is due, overdue, silent, orphaned or broken is found by a look
at the database and put right, whatever has been missed.

`sweeper.py` looks once a second and has the roster of sweeps; each other file is one kind of sweep.
Leaderless: any number of servers may look and act at once. Every act is a bounded, guarded
statement, and what another server has done already is not found any more. Failure: if a server dies
between two acts, the next look of any server finds the rest."""
