"""`python -m hodei_worker`."""

from hodei_worker.start import main

main()
