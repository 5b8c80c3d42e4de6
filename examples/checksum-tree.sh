#!/bin/sh
# Real work on real input: checksums and compresses a tree of files, and reports totals. Hidden folders and caches are left out.
# Needs TREE in its environment: the folder to work on.
set -eu
: "${TREE:?expected the folder to work on in TREE}"
out=$PWD

cd "$TREE"
find . -type f -not -path './.*' -not -path '*/__pycache__/*' -print0 | sort -z >"$out/files"
tr '\0' '\n' <"$out/files" | wc -l | sed 's/ *//;s/$/ files/'
xargs -0 sha256sum <"$out/files" | sha256sum | sed 's/ .*//;s/^/checksum of checksums /'
xargs -0 cat <"$out/files" | wc -c | sed 's/ *//;s/$/ bytes/'
tar czf "$out/tree.tgz" --null --files-from="$out/files"
wc -c <"$out/tree.tgz" | sed 's/ *//;s/$/ bytes compressed/'
