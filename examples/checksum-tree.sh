#!/bin/sh
# Real work on real input: checksums and compresses a tree of files, and reports totals.
# Needs TREE in its environment: the folder to work on.
set -eu
: "${TREE:?expected the folder to work on in TREE}"

find "$TREE" -type f -not -path '*/.git/*' -not -path '*/.venv/*' -not -path '*/__pycache__/*' -print0 | sort -z >files
tr '\0' '\n' <files | wc -l | sed 's/ *//;s/$/ files/'
xargs -0 sha256sum <files >checksums
sha256sum <checksums | sed 's/ .*//;s/^/checksum of checksums /'
xargs -0 cat <files | wc -c | sed 's/ *//;s/$/ bytes/'
tar czf tree.tgz --null --files-from=files 2>/dev/null
wc -c <tree.tgz | sed 's/ *//;s/$/ bytes compressed/'
