"""`python -m hodei_worker`."""

from hodei_worker.cli import main

main()
