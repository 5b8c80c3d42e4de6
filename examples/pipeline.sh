#!/bin/sh
# Three jobs, of which each reads what the one before has written: extract, transform, load.
# A step that fails ends the script. The correlation id ties the jobs together. HODEI: the program.
set -eu
hodei=${HODEI:-$(dirname "$0")/../bin/hodei}
export HODEI_JOB_RUN_CORRELATION_ID=example-pipeline

rows=$("$hodei" job run --name extract --command 'for n in 1 2 3; do echo "row $n"; done')
upper=$(echo "$rows" | "$hodei" job run --name transform -i -- tr a-z A-Z)
echo "$upper" | "$hodei" job run --name load -i --command 'sed "s/^/loaded: /"'
