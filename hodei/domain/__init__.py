"""What things are: states and their transitions, terms, the vocabulary of a job, errors. It is
pure: the standard library only, no clock, no I/O."""
