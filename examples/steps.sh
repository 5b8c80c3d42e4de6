#!/bin/sh
# Writes a line each 0.3 s: whoever follows its log sees it grow.
for n in 1 2 3 4 5 6 7; do
    echo "step $n of 7"
    sleep 0.3
done
