#!/bin/sh
# A job that fails with exit code 3, and says why on stderr.
echo "looking for the invoice"
echo "no invoice found" >&2
exit 3
