#!/usr/bin/env bash
# Each failpoint is fired by some test: named with an action in a specification
# ("wal.cut=crash@2"), alone in a list of them ("wal.cut"), or as FP_WAL_CUT by a
# sweep or a hook.  Tests of the failpoints themselves do not count.
set -euo pipefail
table=raftcore/base/failpoints.tbl
missing=0
while IFS=$'\t' read -r ident name; do
	pattern="\\b${name//./\\.}=(crash|error|full|stop)|\"${name//./\\.}\"|\\bFP_$ident\\b"
	grep -rqE --include='*.c' --include='*.h' --include='*.sh' --include='*.go' \
		--exclude=failpoint.c --exclude=failpoints_test.sh -- "$pattern" tests || {
		echo "no test fires $name, and says what is there afterwards" >&2
		missing=$((missing + 1))
	}
done < <(sed -nE 's/^FAILPOINT_ROW\((\w+), "([^"]+)".*/\1\t\2/p' "$table")
n=$(grep -c '^FAILPOINT_ROW(' "$table")
[ "$n" -gt 40 ] || { echo "only $n rows in $table are understood" >&2; exit 1; }
[ "$missing" = 0 ]
