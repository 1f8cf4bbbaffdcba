#!/usr/bin/env bash
# A store that is lost comes back from checkpoint and log, and so do the log's
# bounds.
. "$(dirname "$0")/lib.bash"
start_daemon --storage-checkpoint-log 1MiB
make_tenant acme
F=$URL/api/v1/fetch/config/acme/shop/prod

# Content that is new each time, 200 kB.
content() { head -c 150000 /dev/urandom | base64 -w 0 >"$WORK/content"; }
publish() {
	content
	jq -n --rawfile c "$WORK/content" '{content: $c, message: "more"}' >"$WORK/req"
	ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d @"$WORK/req"
	yes 200
}

step "content is published until there are two checkpoints"
make_config big.txt first
yes 201
ID=$(field .id)
enough() { [ "$(find "$DATA/checkpoints" -name '*.meta' | wc -l)" -ge 2 ]; }
published=0
until enough 2>/dev/null; do
	[ $published -lt 200 ] || fail "no two checkpoints after 40 MB"
	publish
	published=$((published + 1))
done
publish
SHA=$(sha256sum "$WORK/content" | cut -d' ' -f1)

step "the daemon is killed and its store is lost"
stop_daemon KILL
rm -r "$DATA/state"
start_daemon --storage-checkpoint-log 1MiB
F=$URL/api/v1/fetch/config/acme/shop/prod
until_ok curl -sf "$URL/readyz"
ask GET "$F/big.txt"
yes 200
is "$(sha256sum "$WORK/body" | cut -d' ' -f1)" "$SHA" content
ask GET "$URL/api/v1/mgt/configs/$ID/versions"
yes 200
is "$(field '.versions[0].version_id')" $((published + 2)) "newest version"
"$CONFLUX_BIN/conflux" audit verify || fail "the audit chain is broken"

step "only the file of the store is lost, within the same boot"
stop_daemon KILL
rm "$DATA"/state/store.?/data.mdb
start_daemon --storage-checkpoint-log 1MiB
F=$URL/api/v1/fetch/config/acme/shop/prod
until_ok curl -sf "$URL/readyz"
ask GET "$F/big.txt"
is "$(sha256sum "$WORK/body" | cut -d' ' -f1)" "$SHA" content

step "the newest checkpoint is damaged, and the older one and the log do"
stop_daemon KILL
rm -r "$DATA/state"
newest=$(find "$DATA/checkpoints" -name '*.ckpt' | sort | tail -n 1)
flip "$newest" 9000
start_daemon --storage-checkpoint-log 1MiB
F=$URL/api/v1/fetch/config/acme/shop/prod
until_ok curl -sf "$URL/readyz"
ask GET "$F/big.txt"
is "$(sha256sum "$WORK/body" | cut -d' ' -f1)" "$SHA" content
has "$(cat "$WORK/daemon.log")" "damaged"
"$CONFLUX_BIN/conflux" audit verify || fail "the audit chain is broken"
stop_daemon
