# What scenarios share: a daemon in $WORK, requests, checks.  Sourced.
#
# A scenario tells a story: `step` says what comes, `is` and `has` check it.
# The first check that fails ends the scenario with what was seen.
set -euo pipefail

: "${CONFLUX_BIN:?folder of the programs}" "${WORK:?folder to work in}"
DATA=$WORK/data
DAEMON=
STATUS= BODY= HEADERS=

step() { printf -- '- %s\n' "$*"; }

fail() {
	printf 'FAILED: %s\n' "$*" >&2
	[ -z "$BODY" ] || printf '  status %s, body: %s\n' "$STATUS" "$BODY" >&2
	[ ! -f "$WORK/daemon.log" ] || tail -n 20 "$WORK/daemon.log" >&2
	exit 1
}

is() { [ "$1" = "$2" ] || fail "${3:-}: '$1' is not '$2'"; }
has() { case $1 in *"$2"*) ;; *) fail "'$2' is not in: $1" ;; esac; }
hasnt() { case $1 in *"$2"*) fail "'$2' is in: $1" ;; esac; }

# Waits until a command succeeds; there is no event to wait for, so it asks, for a minute
# and more: a busy machine is no mistake.
until_ok() {
	local tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 1200 ] || fail "in vain: $*"
		sleep 0.05
	done
}

# flip FILE OFFSET: a bit of that byte, which is another then whatever it was.
flip() {
	local byte
	byte=$(od -An -tu1 -j "$2" -N 1 "$1")
	printf "\\x$(printf %02x $((byte ^ 1)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

# Starts confluxd; arguments are more flags.  URL and TOKEN are set.
start_daemon() {
	rm -f "$DATA/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$DATA" --listen "${LISTEN:-127.0.0.1:0}" \
		--sources-file-roots "$WORK" "$@" 2>>"$WORK/daemon.log" &
	DAEMON=$!
	until_ok test -s "$DATA/confluxd.listen"
	URL=http://$(cat "$DATA/confluxd.listen")
	TOKEN=$(cat "$DATA/root.token")
	export CONFLUX_SERVER=$URL CONFLUX_TOKEN=$TOKEN
	KUBE=$URL/apis/gitops.conflux.io/v1alpha1
}

# TEST_BUILD becomes the folder of a confluxd that has failpoints; without one in
# this build the scenario is skipped.
need_test_build() {
	: "${CONFLUX_OUT:?}"
	case $(basename "$CONFLUX_OUT") in
	asan | dev) ;;
	*) echo "needs the test build asan or dev"; exit 77 ;;
	esac
	make_test_build
}
make_test_build() {
	local variant
	variant=$(basename "$CONFLUX_OUT")
	TEST_BUILD=$(realpath -m "$CONFLUX_OUT")/bin
	flock "$CONFLUX_OUT/logs" make BUILD="$(dirname "$CONFLUX_OUT")" \
		VARIANT="$variant" "$CONFLUX_OUT/bin/confluxd" >"$WORK/make.log" 2>&1 ||
		{ tail -n 20 "$WORK/make.log" >&2; fail "the test build"; }
}

# With VARIANT=tsan the daemons are those of that build, and a race that one tells of in
# its log fails the scenario at its end.
with_tsan() {
	[ "$(basename "${CONFLUX_OUT:-}")" = tsan ] || return 0
	make_test_build
	mkdir "$WORK/bin"
	ln -s "$(realpath "$CONFLUX_BIN")"/* "$WORK/bin/"
	ln -sf "$TEST_BUILD/confluxd" "$WORK/bin/"
	CONFLUX_BIN=$WORK/bin
	LOOK_FOR_RACES=yes
}

# A port that nobody listens on, below those that the kernel gives out, and that was not
# given within the hour: a node that is down still has its port.
free_port() {
	local port given=/tmp/conflux-ports.$UID
	mkdir -p "$given"
	find "$given" -mindepth 1 -mmin +60 -delete
	while :; do
		port=$((20000 + RANDOM % 12000))
		mkdir "$given/$port" 2>/dev/null || continue
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

stop_daemon() {
	[ -n "$DAEMON" ] || return 0
	kill -"${1:-TERM}" "$DAEMON" 2>/dev/null || true
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=
}

cleanup() {
	local pids
	pids=$(jobs -p)
	# shellcheck disable=SC2086
	[ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
	wait 2>/dev/null || true
	[ -z "${LOOK_FOR_RACES:-}" ] || ! grep -A 40 ThreadSanitizer "$WORK"/daemon*.log >&2 || exit 1
}
trap cleanup EXIT

# ask METHOD URL [curl arguments]: STATUS, BODY and HEADERS are the answer.
ask() {
	local method=$1 url=$2
	shift 2
	[ "$method" != HEAD ] || set -- -I "$@"
	: >"$WORK/body"
	STATUS=$(curl -s -o "$WORK/body" -D "$WORK/headers" -w '%{http_code}' \
		-X "$method" -H "Authorization: Bearer $TOKEN" "$@" "$url") ||
		fail "$method $url: no answer"
	BODY=$(tr -d '\0' <"$WORK/body")
	HEADERS=$(tr -d '\r' <"$WORK/headers")
}

yes() { is "$STATUS" "$1" "status"; }
header() { sed -n "s/^$1: //Ip" <<<"$HEADERS" | head -n 1; }
field() { jq -r "$1" <<<"$BODY"; }

# A configuration of tenant acme: name, content, format, curl arguments.
make_config() {
	ask POST "$URL/api/v1/mgt/configs" -d "$(jq -n --arg n "$1" --arg c "$2" \
		--arg f "${3:-text}" '{tenant: "acme", application: "shop",
		environment: "prod", name: $n, format: $f, content: $c}')" "${@:4}"
}

make_tenant() {
	ask POST "$KUBE/tenants" -d '{"apiVersion": "gitops.conflux.io/v1alpha1",
		"kind": "Tenant", "metadata": {"name": "'"$1"'"}}'
	yes 201
}

# ---- nodes of a cluster: PID and HTTP by number, folders n1, n2, ... of WORK ----
#
# They are started with --cluster-hold 20s where a write is tried once: a busy machine may
# elect nobody within the 2 s that a write waits otherwise.  Where one leader has to stay,
# they have a --cluster-election-timeout that such a machine does not outlast.
# A checkpoint waits for its turn four times as long where a node is away.

conflux() { "$CONFLUX_BIN/conflux" "$@"; }
# N [SIGNAL]
end_node() {
	kill -"${2:-TERM}" "${PID[$1]}"
	wait "${PID[$1]}" 2>/dev/null || true
	unset "PID[$1]"
}
# What comes asks node N.
at() { export CONFLUX_SERVER=${HTTP[$1]} URL=${HTTP[$1]} KUBE=${HTTP[$1]}/apis/gitops.conflux.io/v1alpha1; }
# `conflux cluster add`, `remove` or `promote`, until the members are so.  A try may be refused
# while the change before it is under way, and one that was uncertain may be done.
change_member() { until_ok try_member "$@"; }
try_member() { # VERB ID ...
	local role
	! conflux cluster "$@" || return 0
	role=$(conflux cluster status -o json | jq -r ".nodes[] | select(.id == $2) | .role") || return 1
	case $1 in
	add) [ -n "$role" ] ;;
	promote) [ -n "$role" ] && [ "$role" != learner ] ;;
	remove) [ -z "$role" ] ;;
	esac
}
ready() { curl -sf "${HTTP[$1]}/readyz"; }
# Is there one root token, and does each node that runs know it, or each of these?  A node
# writes the file first, and may find then that another one's token was taken.
one_token() {
	local n token
	[ "$(ls "$WORK"/n*/root.token 2>/dev/null | wc -l)" = 1 ] || return 1
	token=$(cat "$WORK"/n*/root.token)
	[ $# -gt 0 ] || set -- "${!PID[@]}"
	for n in "$@"; do
		curl -sf -H "Authorization: Bearer $token" "${HTTP[$n]}/api/v1/whoami" || return 1
	done
}
