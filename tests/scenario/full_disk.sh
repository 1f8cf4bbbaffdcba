#!/usr/bin/env bash
# A disk of a few MiB that is full when a node starts, and is widened: the node waits
# and says so, ends when told, and begins when there is room; what was there is there.
# The disk is a tmpfs of this process's own; without the right to mount one (root, or
# namespaces of users) the scenario is skipped.
if [ -z "${FULL_DISK_INSIDE:-}" ]; then
	map=-rm
	[ "$(id -u)" != 0 ] || map=-m
	unshare $map mount -t tmpfs none /mnt 2>/dev/null ||
		{ echo "needs the right to mount"; exit 77; }
	FULL_DISK_INSIDE=1 exec unshare $map bash "$0"
fi
. "$(dirname "$0")/lib.bash"

DISK=$WORK/disk
mkdir "$DISK"
disk() { mount -t tmpfs -o "size=$1" none "$DISK"; }
widen() { mount -o "remount,size=$1" "$DISK"; }
DATA=$DISK/data

# Started, and not waited for.
begin() {
	rm -f "$DATA/confluxd.listen"
	"$CONFLUX_BIN/confluxd" --data-dir "$DATA" --listen 127.0.0.1:0 "$@" \
		2>>"$WORK/daemon.log" &
	DAEMON=$!
}
waits() { # N times it has said so
	until_ok sh -c "[ \$(grep -c 'there is no room to start' '$WORK/daemon.log') = $1 ]"
	kill -0 "$DAEMON" || fail "it ended"
	[ ! -s "$DATA/confluxd.listen" ] || fail "it serves"
}
listens() {
	until_ok test -s "$DATA/confluxd.listen"
	URL=http://$(cat "$DATA/confluxd.listen")
	TOKEN=$(cat "$DATA/root.token")
	KUBE=$URL/apis/gitops.conflux.io/v1alpha1
}
ends() {
	local rc=0
	kill -TERM "$DAEMON"
	wait "$DAEMON" || rc=$?
	DAEMON=
	is "$rc" 0 "the exit code of one that waits"
}

step "a new node on a disk that is too small waits, and ends when told"
disk 40m
begin
waits 1
ends
step "it waits again, and begins when the disk is widened"
begin
waits 2
widen 300m
listens
has "$(cat "$WORK/daemon.log")" "there is room again"
until_ok curl -sf "$URL/readyz"
make_tenant acme
make_config a.txt one
yes 201

step "a node that is there, too: neither its log nor its state is lost"
stop_daemon
# All that is left is taken by somebody else.
cat /dev/zero >"$DISK/other" 2>/dev/null || true
begin
waits 3
ends
begin
waits 4
rm "$DISK/other"
listens
until_ok curl -sf "$URL/readyz"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/a.txt"
yes 200
is "$BODY" one "what was there"
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true "the audit chain"
make_config b.txt two
yes 201

step "killed while it waits, it is none the worse"
stop_daemon KILL
cat /dev/zero >"$DISK/other" 2>/dev/null || true
begin
waits 5
stop_daemon KILL
rm "$DISK/other"
begin
listens
until_ok curl -sf "$URL/readyz"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/b.txt"
is "$BODY" two "what was there"
stop_daemon

step "room for the log and for some pages of a state that is made anew"
for pages in 1 4 16 32; do
	rm -rf "$DATA/state" "$DATA/confluxd.listen"
	: >"$WORK/daemon.log"
	used=$(df --output=used -B1 "$DISK" | tail -n 1)
	widen $((used + (64 << 20) + pages * 4096))
	begin
	# It cannot begin, or it begins and takes nothing, or there was room enough.
	until grep -q 'there is no room to start\|no room for the root token' \
		"$WORK/daemon.log" || [ -s "$DATA/confluxd.listen" ]; do
		kill -0 "$DAEMON" 2>/dev/null || fail "it ended with $pages pages"
		sleep 0.02
	done
	# In either case it ends when told.
	ends
	begin
	widen 2g
	listens
	until_ok curl -sf "$URL/readyz"
	ask GET "$URL/api/v1/fetch/config/acme/shop/prod/b.txt"
	is "$BODY" two "what was there"
	stop_daemon
done
