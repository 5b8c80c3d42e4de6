"""What things are: states, transitions, the vocabulary of a job, errors. Pure: standard library
only, no clock, no I/O."""
