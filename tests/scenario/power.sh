#!/usr/bin/env bash
# Power loss of real processes, one node and three: what each did to its files is
# recorded, and they go on from what a power loss may leave (tests/tools/power.py).
# First syncs are left out, and that has to be found: at its first one a run ends, so that
# the most rounds are for chance alone.
#
# `make power ROUNDS=n` has longer runs.
. "$(dirname "$0")/lib.bash"

PRELOAD=$(realpath "$CONFLUX_BUILD")/preload/journal.so
[ -r "$PRELOAD" ] || fail "$PRELOAD was not built"
power() {
	python3 "$(dirname "$0")/../tools/power.py" --bin "$CONFLUX_BIN" \
		--preload "$PRELOAD" "$@" "$WORK/power" || fail "power.py $*"
}

step "a log whose folder is not synced is found out"
power --seed 3 --nodes 1 --rounds 40 --forget wal --find
step "a log whose records are not synced is found out"
power --seed 3 --nodes 1 --rounds 40 --forget 'wal/*' --find
step "a vote that is not synced is found out"
power --seed 3 --nodes 1 --rounds 40 --forget 'vote.*' --find
step "a store that is not synced at an orderly end is found out"
power --seed 3 --nodes 1 --rounds 40 --kind end --names all --data some \
	--forget 'state/*/data.mdb' --find
step "one node and three"
power --rounds "${ROUNDS:-10}" ${SEED:+--seed "$SEED"}
