#!/usr/bin/env bash
# The systemd units say what systemd understands.  systemd itself need not run; paths of
# programs are those of the build's place, so what is verified is a copy.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v systemd-analyze >/dev/null || {
	echo "systemd-analyze is not there: the units are not verified (package systemd)"
	exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "units_test: $*" >&2; exit 1; }

mkdir "$work/bin"
# copy UNIT [sed expression]: with programs that are there
copy() {
	sed -E -e "s,^(Exec[A-Za-z]+=[-@:+!]*)/usr/local/bin/,\1$work/bin/," -e "${2:-}" "$1" \
		>"$work/$(basename "$1")"
}
# What is wrong in it, in systemd's words: empty where nothing is.  What other units of the
# machine are like is not asked.
wrong() {
	local rc=0
	SYSTEMD_LOG_LEVEL=warning SYSTEMD_LOG_COLOR=0 timeout 60 systemd-analyze verify \
		--man=no --recursive-errors=no "$work/$1" >"$work/said" 2>&1 || rc=$?
	grep -v "^$" "$work/said" || [ $rc = 0 ] || echo "exit code $rc"
}

n=0
while read -r unit; do
	n=$((n + 1))
	name=$(basename "$unit")
	sed -nE 's,^Exec[A-Za-z]+=[-@:+!]*/usr/local/bin/([^ ]+).*,\1,p' "$unit" | while read -r program; do
		# It is one that this tree builds.
		grep -qE "^progs :=.*\<$program\>" "$(dirname "$unit")/part.mk" ||
			die "$unit starts $program, which its part does not build"
		printf '#!/bin/sh\n' >"$work/bin/$program"
		chmod +x "$work/bin/$program"
	done
	copy "$unit"
	found=$(wrong "$name")
	[ -z "$found" ] || die "$unit: $found"
	# It would be found.
	for mistake in 's/^StateDirectory=/StateDirectori=/' 's/^Restart=.*/Restart=sometimes/' \
		's,^(ExecStart=.*/bin/),\1no-such-,'; do
		copy "$unit" "$mistake"
		[ -n "$(wrong "$name")" ] || die "$unit: nothing is found wrong with $mistake"
	done
done < <(find controller providers -name '*.service' -o -name '*.timer' -o -name '*.socket' | sort)
[ $n -ge 2 ] || die "only $n units"
