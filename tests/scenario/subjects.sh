#!/usr/bin/env bash
# Subjects with a name: what their tokens may, that they end, and that one of a tenant
# gets nothing of another over any route that there is.
. "$(dirname "$0")/lib.bash"
start_daemon
ROOT=$TOKEN
make_tenant acme
make_tenant bank
make_config app.txt "of acme"

# create NAME [flags]: the token of a new subject
create() { local name=$1; shift; conflux token create --subject "$name" "$@" 2>"$WORK/created" || fail "$(cat "$WORK/created")"; }
as() { TOKEN=$1; shift; "$@"; TOKEN=$ROOT; }

step "a subject is who the token says, and may read"
ANN=$(create ann@example.org --group ops --group dba --verb publish --tenant acme --expires 90d)
export CONFLUX_TOKEN=$ANN
OUT=$(conflux whoami)
has "$OUT" "subject:    ann@example.org"
has "$OUT" "tenant:     acme"
has "$OUT" "groups:     dba, ops"
has "$OUT" "verbs:      publish"
is "$(conflux whoami -o name)" ann@example.org name
is "$(conflux fetch acme/shop/prod/app.txt)" "of acme" fetch
export CONFLUX_TOKEN=$ROOT
has "$(conflux whoami)" "token:root"
OUT=$(conflux token list)
has "$OUT" ann-example-org-
has "$OUT" "dba, ops"
hasnt "$OUT" cfx_

step "it publishes, and the audit log names it; what it was not given it may not"
ask GET "$URL/api/v1/mgt/configs?address=acme/shop/prod/app.txt"
ID=$(field .id)
as "$ANN" ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "two"}'
yes 200
ask GET "$URL/api/v1/audit?limit=1000"
has "$(field '.records[] | select(.action == "publish") | .subject + " " + .role')" \
	"ann@example.org named"
has "$(field '.records[].target')" "token-create token acme/ann-example-org-"
has "$(field '.records[].target')" " of ann@example.org"
as "$ANN" ask POST "$URL/api/v1/mgt/configs/$ID/rollback" -d '{"mode": "stable_only"}'
yes 403
has "$BODY" "may not rollback"

step "whoever may roll back and nothing else takes back what he brought by that"
BACK=$(create fay@example.org --verb rollback --tenant acme)
as "$BACK" ask POST "$URL/api/v1/mgt/configs/$ID/rollback?not_before=2h" -d '{"mode": "emergency"}'
yes 202
P=$(header x-conflux-proposal)
READER=$(create bob)
for who in "$READER" "$ANN"; do
	as "$who" ask POST "$URL/api/v1/proposals/$P/cancel" -d '{}'
	yes 403
done
as "$BACK" ask POST "$URL/api/v1/proposals/$P/cancel" -d '{}'
yes 200
ask GET "$URL/api/v1/proposals/$P"
is "$(field .status.phase)" Cancelled "what he took back"
as "$READER" ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "three"}'
yes 403
as "$READER" ask GET "$KUBE/tenants"
yes 200

step "what makes no sense is refused by name"
for bad in '{"name": "x", "verbs": ["publish"]}' '{"subject": "a:b"}' '{"subject": ""}' \
	'{"subject": "a", "verbs": ["token"]}' '{"subject": "a", "groups": ["x", "x"]}' \
	'{"subject": "a", "expires": "yesterday"}' '{"subject": "a", "read_only": true}' \
	'{"subject": "a", "expires": "2020-01-01T00:00:00Z"}' '{"subject": "a", "groups": [1]}' \
	'{"subject": "a", "tenant": "No"}' '{"verbs": ["publish"]}' '{}'; do
	ask POST "$URL/api/v1/tokens" -d "$bad"
	yes 422
done
ask POST "$URL/api/v1/tokens" -d '{"subject": "system"}'
yes 400

step "a token ends by itself, with a text of its own; so does a watch of it"
SHORT=$(create carl --expires 15s)
as "$SHORT" ask GET "$URL/api/v1/whoami"
yes 200
[ "$(field .expires)" != null ] || fail "no end"
curl -sN -m 120 -H "Authorization: Bearer $SHORT" "$URL/api/v1/watch?prefix=acme/" \
	>"$WORK/watched"
has "$(cat "$WORK/watched")" '"reason":"denied"'
has "$(cat "$WORK/watched")" "has ended at"
as "$SHORT" ask GET "$URL/api/v1/whoami"
yes 401
has "$BODY" "has ended at"
has "$(conflux token list)" "has ended"

step "a subject of a tenant over every route: of another tenant it gets nothing"
ask POST "$KUBE/namespaces/bank/applications" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "Application", "metadata": {"name": "vault"}}'
yes 201
MARK=do-not-tell
ask POST "$URL/api/v1/mgt/configs" -d '{"tenant": "bank", "application": "vault",
	"environment": "prod", "name": "'$MARK'", "content": "{}", "format": "json"}'
yes 201
SECRET=$(field .id)
ask POST "$URL/api/v1/acks" -d '{"instance": "teller", "key": "bank/vault/prod/'$MARK'",
	"version": 1, "state": "applied", "sha256": "'"$(printf '{}' | sha256sum | cut -c1-64)"'"}'
yes 200
ask POST "$URL/api/v1/plans" -d '{"manifests": [{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "ConfluxConfig", "metadata": {"name": "x",
	"namespace": "bank"}, "spec": {"application": "vault", "environment": "prod",
	"name": "x", "format": "text", "content": "'$MARK'-"}}]}'
yes 201
DIGEST=$(field .digest)
ask POST "$KUBE/namespaces/bank/webhooks" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "Webhook", "metadata": {"name": "'$MARK'"},
	"spec": {"url": "https://example.org/"}}'
yes 201
ask POST "$KUBE/namespaces/bank/approvalpolicies" -d '{"apiVersion":
	"gitops.conflux.io/v1alpha1", "kind": "ApprovalPolicy", "metadata": {"name": "all"},
	"spec": {"stages": [{"from": {"groups": ["ops"]}}]}}'
yes 201
ask POST "$URL/api/v1/mgt/configs/$SECRET/publish" -d '{"content": "[1]"}'
yes 202
PROPOSAL=$(field '.proposal_id | ltrimstr("bank/")')
ask DELETE "$KUBE/namespaces/bank/approvalpolicies/all"
yes 200
RELEASE=$(conflux release list -n bank -o name | head -n 1)
RELEASE=${RELEASE#bank/}
[ -n "$PROPOSAL" ] && [ -n "$RELEASE" ] || fail "nothing to look for"
# It may whatever can be given.
EVE=$(create eve --tenant acme --group ops --verb publish --verb approve --verb promote \
	--verb rollback --verb pause --verb administer)

# What a route is asked with: its arguments, and a body where it wants one.  A new
# route that is not named here must answer 403 or 404 to an empty object.
args() {
	local name=$MARK plural=confluxconfigs
	case $1 in
	/api/v1/namespaces/*) name=bank ;;
	*/namespaces/*) name=vault.prod.$MARK ;;
	/apis/*) name=bank plural=tenants ;;
	*/proposals/*) name=$PROPOSAL ;;
	*/releases/*) name=$RELEASE ;;
	esac
	sed -e "s/{tenant}\|{ns}/bank/; s/{app}/vault/; s/{env}/prod/; s/{id}/$SECRET/" \
		-e "s/{plural}/$plural/; s/{name[.]*}/$name/; s/{key[.]*}/flag/" \
		-e "s/{digest}/$DIGEST/; s/{seq}/1/" <<<"$1"
}
KUBE_BODY='{"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxConfig",
	"metadata": {"name": "x"}, "spec": {"application": "vault", "environment": "prod",
	"name": "x", "format": "text", "content": "x"}}'
body() {
	case $1 in
	post_config) echo '{"tenant": "bank", "application": "vault", "environment": "prod",
		"name": "x", "content": "x"}' ;;
	post_plan) jq '{manifests: [.metadata.namespace = "bank"]}' <<<"$KUBE_BODY" ;;
	post_acks) echo '{"instance": "x", "key": "bank/vault/prod/'$MARK'", "version": 1,
		"sha256": "'"$(printf x | sha256sum | cut -c1-64)"'", "state": "applied"}' ;;
	post_kube | put_kube | post_cluster | put_cluster) echo "$KUBE_BODY" ;;
	post_hook) echo '{"tenant": "bank", "name": "x", "url": "https://example.org"}' ;;
	*) echo '{}' ;;
	esac
}
query() {
	case $1 in
	get_proposals | get_releases | get_holds) echo "?tenant=bank" ;;
	get_plan | post_plan_apply) echo "?tenant=bank" ;;
	get_config_at) echo "?address=bank/vault/prod/$MARK" ;;
	get_watch) echo "?key=bank/vault/prod/$MARK" ;;
	esac
}
# Open to everybody, or of the node and of no tenant.
of_nobody() {
	case $1 in
	get_livez | get_readyz | get_version | get_signing_key | get_status | get_whoami | \
		get_cluster_status | get_cluster_nodes | get_cluster_leader | \
		get_cluster_backup | get_instances | get_fleet | get_kube_versions | \
		get_kube_core | get_kube_groups | get_kube_group | get_kube_resources | \
		get_openapi_v2 | get_openapi_v3 | get_openapi_v3_group) return 0 ;;
	esac
	return 1
}
# call HANDLER PATH: a call of gRPC with a message about what the bank has.
call() {
	python3 - "$1" "$MARK" >"$WORK/message" <<'END'
import sys
def field(n, data): return bytes([n << 3 | 2, len(data)]) + data
handler, name = sys.argv[1:]
at = b"".join(field(i + 1, s.encode()) for i, s in enumerate(("bank", "vault", "prod", name)))
message = {
    "grpc_fetch_config": field(1, at),
    "grpc_acknowledge": field(1, b"x") + field(2, field(1, at) + b"\x10\x01" +
                                              field(3, b"0" * 32) + b"\x20\x02"),
    "grpc_watch": field(1, at),
    "grpc_publish": field(1, at) + field(2, b"x"),
    "grpc_rollback": field(1, at) + b"\x10\x01",
}[handler]
sys.stdout.buffer.write(b"\0" + len(message).to_bytes(4, "big") + message)
END
	as "$EVE" ask POST "$URL$2" -m 10 --http2-prior-knowledge \
		-H 'Content-Type: application/grpc' -H 'TE: trailers' \
		--data-binary @"$WORK/message"
}
walked=0
while IFS='|' read -r kind method path handler; do
	walked=$((walked + 1))
	at=$URL$(args "$path")$(query "$handler")
	case $kind in
	*STREAM) case $handler in
		grpc_health_check | grpc_health_watch | grpc_reflect) continue ;;
		esac
		call "$handler" "$path"
		[ "$(header grpc-status)" = 7 ] ||
			fail "$handler: status $(header grpc-status) $(header grpc-message)"
		continue ;;
	*OPEN) of_nobody "$handler" || case $handler in get_ws | post_cluster_initialize |\
		post_callback) ;; *) fail "$handler is open: who may see what it says?" ;; esac
		continue ;;
	esac
	set --
	case $method in
	GET | DELETE) ;;
	PATCH) set -- -H 'Content-Type: application/merge-patch+json' -d '{"spec": {}}' ;;
	*) set -- -d "$(body "$handler")" ;;
	esac
	as "$EVE" ask "$method" "$at" -m 10 "$@"
	hasnt "$BODY" $MARK-
	# By its id it is not even told what it is called.
	[[ $path != */configs/{id}* ]] || hasnt "$BODY" "$MARK"
	case $STATUS in
	403 | 404) ;;
	200) of_nobody "$handler" || fail "$method $path ($handler) answers 200"
		hasnt "$BODY" "$MARK" ;;
	*) fail "$method $path ($handler) answers $STATUS before it asks who it is" ;;
	esac
done < <(sed -n 's/^\(ROUTE[A-Z_]*\)(\([A-Z]*\), "\([^"]*\)", \([a-z0-9_]*\).*/\1|\2|\3|\4/p' \
	"$(dirname "$0")/../../controller/api/routes.tbl")
[ $walked -ge 60 ] || fail "only $walked routes"
is "$(conflux fetch "bank/vault/prod/$MARK")" "{}" "what is there still"
ask GET "$URL/api/v1/proposals/bank/$PROPOSAL"
is "$(field .status.phase)" Pending "the proposal still"
conflux cancel "bank/$PROPOSAL" >/dev/null

step "nor by a prefix, of instances, or by names of objects of its own"
curl -siN -m 120 -H "Authorization: Bearer $EVE" "$URL/api/v1/watch?prefix=" \
	>"$WORK/watched" &
WATCH=$!
until_ok grep -q "^HTTP/1.1 200" "$WORK/watched"
ask GET "$URL/api/v1/status"
SINCE=$(field .revision)
ask POST "$URL/api/v1/mgt/configs/$SECRET/publish" -d '{"content": "[]"}'
yes 200
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "mine"}'
yes 200
# Events come in order: what was published before would be there by now.
until_ok grep -q "acme/shop/prod/app.txt.*\"version\":$(field .version_id)," "$WORK/watched"
kill $WATCH
wait $WATCH || true
hasnt "$(cat "$WORK/watched")" bank
# What came since, by long poll and by WebSocket.
ask GET "$URL/api/v1/watch?prefix=&since=$SINCE&wait=10s"
has "$BODY" bank/vault/prod/
as "$EVE" ask GET "$URL/api/v1/watch?prefix=&since=$SINCE&wait=10s"
yes 200
has "$BODY" acme/shop/prod/app.txt
hasnt "$BODY" bank
URL=$URL TOKEN=$EVE SINCE=$SINCE MARK=$MARK \
	/usr/bin/python3 "$(dirname "$0")/watch/sockets.py" foreign || fail "over a WebSocket"
# What there is, by gRPC: a watch of the empty prefix.
printf '\0\0\0\0\2\22\0' >"$WORK/message"
curl -sN -m 120 --http2-prior-knowledge -H "Authorization: Bearer $EVE" \
	-H 'TE: trailers' -H 'Content-Type: application/grpc' \
	--data-binary @"$WORK/message" "$URL/conflux.v1.WatcherService/Watch" \
	>"$WORK/watched" &
WATCH=$!
until_ok grep -aq app.txt "$WORK/watched"
kill $WATCH
wait $WATCH || true
hasnt "$(tr -d '\0' <"$WORK/watched")" bank
as "$EVE" ask GET "$URL/api/v1/instances"
hasnt "$BODY" teller
as "$EVE" ask GET "$URL/api/v1/fleet"
hasnt "$BODY" teller
ask GET "$URL/api/v1/instances"
has "$BODY" teller
as "$EVE" ask GET "$KUBE/tenants/acme"
yes 200
as "$EVE" ask GET "$KUBE/namespaces/acme/confluxconfigs"
yes 200
for path in audit audit/verify tokens; do
	as "$EVE" ask GET "$URL/api/v1/$path"
	yes 403
done
as "$EVE" ask GET "$URL/metrics"
yes 403

step "a token that is bound to instances speaks for these and no other"
WEB=$(create web --instance 'web-*' --instance db-1 --tenant acme)
SHA=$(printf mine | sha256sum | cut -d ' ' -f 1)
said() { jq -n --arg i "$1" --arg s "$SHA" '{instance: $i, key: "acme/shop/prod/app.txt",
	version: 1, sha256: $s, state: "rejected", reason: "no"}'; }
for good in web-7 db-1; do
	as "$WEB" ask POST "$URL/api/v1/acks" -d "$(said $good)"
	yes 200
	as "$WEB" ask GET "$URL/api/v1/fetch/config/acme/shop/prod/app.txt?instance=$good"
	yes 200
done
for bad in db-10 other; do
	as "$WEB" ask POST "$URL/api/v1/acks" -d "[$(said web-1), $(said $bad)]"
	yes 403
	has "$BODY" "may not speak for the instance $bad"
	as "$WEB" ask GET "$URL/api/v1/fetch/config/acme/shop/prod/app.txt?instance=$bad"
	yes 403
	as "$WEB" ask GET "$URL/api/v1/watch?key=acme/shop/prod/app.txt&instance=$bad"
	yes 403
done
# Over whatever it comes in: a header, a question about the rules, flags, gRPC, a WebSocket.
FLAGS=$URL/api/v1/ofrep/acme/shop/prod/app.txt/ofrep/v1/evaluate/flags
rpc() { # METHOD [curl arguments]: a call of gRPC about app.txt, of instance $I where it acknowledges
	I=${I:-} python3 - "$1" >"$WORK/message" <<'END'
import os, sys
def field(n, data): return bytes([n << 3 | 2, len(data)]) + data
at = b"".join(field(i + 1, s) for i, s in enumerate((b"acme", b"shop", b"prod", b"app.txt")))
message = field(1, at)
if sys.argv[1].endswith("Acknowledge"):
    message = field(1, os.environ["I"].encode()) + field(2, message + b"\x10\x01" +
                                                         field(3, b"0" * 32) + b"\x20\x02")
sys.stdout.buffer.write(b"\0" + len(message).to_bytes(4, "big") + message)
END
	ask POST "$URL/conflux.v1.$1" -m 120 --http2-prior-knowledge -H 'TE: trailers' \
		-H 'Content-Type: application/grpc' --data-binary @"$WORK/message" "${@:2}"
}
as "$WEB" ask GET "$URL/api/v1/fetch/config/acme/shop/prod/app.txt" -H 'X-Conflux-Instance: web-7'
yes 200
as "$WEB" ask GET "$URL/api/v1/fetch/config/acme/shop/prod/app.txt" -H 'X-Conflux-Instance: web'
yes 403
as "$WEB" ask GET "$URL/api/v1/mgt/configs/$ID/resolve?instance=web-7"
yes 200
as "$WEB" ask GET "$URL/api/v1/mgt/configs/$ID/resolve?instance=web"
yes 403
# It is no JSON, which whoever may ask is told.
as "$WEB" ask POST "$FLAGS" -d '{"context": {"targetingKey": "web-7"}}'
has "$BODY" "plain text"
as "$WEB" ask POST "$FLAGS" -d '{"context": {"targetingKey": "web"}}'
yes 403
as "$WEB" ask POST "$FLAGS" -d '{"context": {}}' -H 'X-Conflux-Instance: web'
yes 403
as "$WEB" rpc ConfigService/FetchConfig -H 'X-Conflux-Instance: web-7'
is "$(header grpc-status)" 0 "a fetch by gRPC"
I=web-7 as "$WEB" rpc ConfigService/Acknowledge
is "$(header grpc-status)" 0 "an acknowledgement by gRPC"
I=web as "$WEB" rpc ConfigService/Acknowledge
is "$(header grpc-status)" 7 "an acknowledgement of another by gRPC"
for call in ConfigService/FetchConfig WatcherService/Watch; do
	as "$WEB" rpc $call -H 'X-Conflux-Instance: web'
	is "$(header grpc-status)" 7 "$call as another"
done
URL=$URL TOKEN=$WEB /usr/bin/python3 "$(dirname "$0")/watch/sockets.py" bound ||
	fail "over a WebSocket"
as "$WEB" ask GET "$URL/api/v1/whoami"
is "$(field '[.groups, .instances] | tostring')" '[[],["db-1","web-*"]]' whoami
# Whoever is bound to none may, unless the node wants it.
as "$EVE" ask POST "$URL/api/v1/acks" -d "$(said other)"
yes 200
for bad in '["a*b"]' '[""]' '[1]' '["a b"]'; do
	ask POST "$URL/api/v1/tokens" -d '{"subject": "x", "instances": '"$bad"'}'
	yes 422
done
ask POST "$URL/api/v1/tokens" -d '{"subject": "x", "groups": ["instance:y"]}'
yes 422
ask POST "$URL/api/v1/tokens" -d '{"name": "x", "instances": ["y"]}'
yes 422

step "a token that is deleted is nobody at once"
NAME=$(conflux token list -o json | jq -r '.tokens[] | select(.subject == "eve") | .name')
conflux token delete "$NAME" >/dev/null
as "$EVE" ask GET "$URL/api/v1/whoami"
yes 401

step "a node may want tokens to be bound"
stop_daemon
start_daemon --fleet-bound-instances true
TOKEN=$ROOT
until_ok as "$WEB" ask GET "$URL/api/v1/whoami"
as "$WEB" ask POST "$URL/api/v1/acks" -d "$(said web-7)"
yes 200
ask POST "$URL/api/v1/acks" -d "$(said web-7)"
yes 403
has "$BODY" "its token is bound to none"
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/app.txt?instance=web-7"
yes 403
ask GET "$URL/api/v1/watch?key=acme/shop/prod/app.txt&instance=web-7"
yes 403
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/app.txt"
yes 200
