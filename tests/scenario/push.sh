#!/usr/bin/env bash
# From git push to live configuration: one commit at one moment, broken files,
# rollback and hold, kill -9.
. "$(dirname "$0")/lib.bash"
start_daemon
make_tenant acme
F=$URL/api/v1/fetch/config/acme
SRC=$KUBE/namespaces/acme/confluxsources/shop

git init -q --bare -b main "$WORK/origin.git"
git clone -q "$WORK/origin.git" "$WORK/repo" 2>/dev/null
cd "$WORK/repo"
git config user.name T && git config user.email t@example.invalid
mkdir -p shop/prod shop/staging
for i in 1 2 3 4 5; do echo "value = 1" >"shop/prod/c$i.toml"; done
echo '{"on": false}' >shop/prod/flags.json
echo "not: [closed" >ignored.yaml
push() { git add -A && git commit -q --allow-empty -m "$1" && git push -q origin HEAD:main; }
push first

reconcile() {
	ask POST "$URL/api/v1/sources/acme/shop/reconcile?wait=true"
}
condition() {
	ask GET "$SRC"
	field ".status.conditions[] | select(.type == \"$1\") | .$2"
}
# Follows in the background; events land in $WORK/events.
follow() {
	curl -sN -H "Authorization: Bearer $TOKEN" \
		"$URL/api/v1/watch?prefix=acme/&since=$1" >"$WORK/events" &
	WATCH=$!
}
count_events() { [ "$(grep -c '^event: change' "$WORK/events")" -ge "$1" ]; }
data() { sed -n 's/^data: //p' "$WORK/events"; }

step "a source makes live what the repository says"
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{
	"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxSource",
	"metadata": {"name": "shop"},
	"spec": {"url": "file://'"$WORK"'/origin.git", "ref": {"branch": "main"},
		"interval": "1h", "prune": true,
		"layout": {"files": {"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
reconcile
yes 200
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 1" body
FIRST=$(git rev-parse HEAD)
ask GET "$SRC"
is "$(field .status.lastAppliedRevision)" "main@sha1:$FIRST" revision
is "$(field .status.configs)" 6 configs
is "$(field .status.ignoredFiles)" 1 ignored
is "$(condition Ready status)" True Ready

step "a commit that changes five files is one moment: the fifth event says end"
ask GET "$URL/api/v1/status"
follow "$(field .revision)"
until_ok grep -q watching "$WORK/events"
for i in 1 2 3 4 5; do echo "value = 2" >"shop/prod/c$i.toml"; done
push five
reconcile
yes 200
is "$(field .operations)" 5 operations
until_ok count_events 5
is "$(data | jq -r .end | tr '\n' ' ')" "false false false false true " end
is "$(data | jq -r .version | sort -u)" 2 version
is "$(data | jq -r .key | sort -u | wc -l)" 5 keys
for i in 1 2 3 4 5; do
	ask GET "$F/shop/prod/c$i.toml"
	is "$BODY" "value = 2" body
done
ask GET "$KUBE/namespaces/acme/releases"
is "$(field '.items[-1].spec.count')" 5 "configurations of the release"
is "$(field '.items[-1].spec.configs[4].version')" 2 "version of the release"
is "$(field '.items[-1].spec.commit')" "$(git rev-parse HEAD)" commit
ask DELETE "$KUBE/namespaces/acme/releases/$(field '.items[-1].metadata.name')"
yes 405

step "who wrote the commit is the author, who applied it the audit's subject"
ask GET "$URL/api/v1/mgt/configs?address=acme/shop/prod/c1.toml"
ask GET "$URL/api/v1/mgt/configs/$(field .id)/versions"
is "$(field '.versions[0].author')" "T <t@example.invalid>" author
ask GET "$URL/api/v1/audit?limit=1000"
is "$(field '[.records[] | select((.commit // "") != "")] | last.subject')" source:acme/shop subject

step "nothing changed: nothing happens"
ask GET "$URL/api/v1/status"
REV=$(field .revision)
reconcile
yes 200
is "$(field .operations)" 0 operations
ask GET "$URL/api/v1/status"
is "$(field .revision)" "$REV" revision

step "a broken file stops the whole commit, with file and line; the old stays live"
echo '{"on": ' >shop/prod/flags.json
echo "value = 3" >shop/prod/c1.toml
push broken
reconcile
yes 422
has "$BODY" "shop/prod/flags.json: line 2"
is "$(condition Stalled status)" True Stalled
has "$(condition Ready message)" "shop/prod/flags.json: line 2"
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 2" body
ask GET "$SRC"
has "$(field .status.lastAppliedRevision)" "$(git rev-parse HEAD~1)"
echo '{"on": true}' >shop/prod/flags.json
push repaired
reconcile
yes 200
is "$(condition Stalled status)" False Stalled
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 3" body

step "what must not be in a repository is refused by name"
refuse() {
	push "$1"
	reconcile
	yes 422
	has "$BODY" "$2"
	git reset -q --hard HEAD~1
	git push -qf origin HEAD:main
	reconcile
	yes 200
}
ln -s /etc/passwd shop/prod/link.txt
refuse symlink "shop/prod/link.txt"
printf 'a: &a [x, x, x, x, x, x, x, x, x]\n' >shop/prod/bomb.yaml
for n in b c d e f g h; do
	p=$(printf '%b' "\\$(printf '%03o' $(($(printf '%d' "'$n") - 1)))")
	echo "$n: &$n [*$p, *$p, *$p, *$p, *$p, *$p, *$p, *$p, *$p]" >>shop/prod/bomb.yaml
done
refuse bomb "shop/prod/bomb.yaml"
(printf '[%.0s' $(seq 200); printf ']%.0s' $(seq 200)) >shop/prod/deep.json
refuse deep "shop/prod/deep.json"
head -c 9000000 /dev/zero | tr '\0' x >shop/prod/huge.txt
refuse huge "shop/prod/huge.txt"
# shellcheck disable=SC2016
echo 'password = "{{ .Secrets.p }}"' >shop/prod/ref.toml
refuse reference "shop/prod/ref.toml: line 1: references"

step "Git owns it: a write by hand is refused, a rollback is not, and it holds"
ask GET "$KUBE/namespaces/acme/confluxconfigs/shop.prod.c1.toml"
ID=$(field .metadata.uid) OBJECT=$BODY
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "value = 7\n"}'
yes 409
has "$BODY" "managed-by-other"
for m in DELETE PUT; do
	ask $m "$KUBE/namespaces/acme/confluxconfigs/shop.prod.c1.toml?dryRun=All" \
		-d "$([ $m = DELETE ] || jq '.metadata.labels.a = "b"' <<<"$OBJECT")"
	yes 409
	has "$BODY" "managed by git source:acme/shop"
	is "$(header X-Conflux-Code)" managed-by-other code
	ask $m "$KUBE/namespaces/acme/confluxconfigs/shop.prod.c1.toml?dryRun=All&take_over=true" \
		-d "$([ $m = DELETE ] || jq '.metadata.labels.a = "b"' <<<"$OBJECT")"
	yes 200
done
ask POST "$URL/api/v1/mgt/configs/$ID/rollback" \
	-d '{"mode": "emergency", "version_id": 2, "comment": "three is bad"}'
yes 200
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 2" body
reconcile
yes 200
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 2" body
ask GET "$KUBE/namespaces/acme/confluxconfigs/shop.prod.c1.toml"
is "$(field .status.hold.sha256)" "$(printf 'value = 3\n' | sha256sum | cut -d' ' -f1)" hold
is "$(field '.status.hold | "\(.version) \(.by) \(.reason)"')" "3 token:root three is bad" "why it is held"
has "$(conflux holds -n acme)" "three is bad"
# Who wants it all the same, and back.
conflux rollback acme/shop/prod/c1.toml --version-id 3 >/dev/null 2>"$WORK/held"
is "$(cat "$WORK/held")" "the hold on $(printf 'value = 3\n' | sha256sum | cut -c 1-12) is lifted: \
Git may bring it again" "the lifted hold"
is "$(conflux holds -n acme -o name)" "" holds
conflux rollback acme/shop/prod/c1.toml --version-id 2 -m "three is bad" >/dev/null 2>"$WORK/held"
is "$(cat "$WORK/held")" "a hold stays: Git does not bring $(printf 'value = 3\n' | sha256sum | cut -c 1-12) \
back until the file changes" "the hold"

step "a new commit of that file lifts the hold"
echo "value = 4" >shop/prod/c1.toml
push four
reconcile
yes 200
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 4" body
ask GET "$KUBE/namespaces/acme/confluxconfigs/shop.prod.c1.toml"
is "$(field .status.hold)" null hold

step "kill -9: state, watch position and audit go on"
ask GET "$URL/api/v1/status"
REV=$(field .revision)
ask GET "$URL/api/v1/audit/verify"
RECORDS=$(field .records)
stop_daemon KILL
wait "$WATCH" || true
start_daemon
F=$URL/api/v1/fetch/config/acme
SRC=$KUBE/namespaces/acme/confluxsources/shop
ask GET "$F/shop/prod/c1.toml"
is "$BODY" "value = 4" body
ask GET "$URL/api/v1/status"
is "$(field .revision)" "$REV" revision
ask GET "$URL/api/v1/audit/verify"
is "$(field .valid)" true valid
is "$(field .records)" "$RECORDS" records
follow "$REV"
until_ok grep -q watching "$WORK/events"
echo "value = 5" >shop/prod/c1.toml
push five
reconcile
yes 200
until_ok count_events 1
is "$(data | jq -r '.key + " " + (.version | tostring)')" \
	"acme/shop/prod/c1.toml 5" event

step "a file that is gone from the repository goes, where the source prunes"
git rm -q shop/prod/c5.toml
push gone
reconcile
yes 200
ask GET "$F/shop/prod/c5.toml"
yes 404

step "who takes a configuration over owns it; the source does not fight, and says so"
ask GET "$KUBE/namespaces/acme/confluxconfigs/shop.prod.c2.toml"
ID=$(field .metadata.uid)
ask POST "$URL/api/v1/mgt/configs/$ID/publish?take_over=true" -d '{"content": "value = 7\n"}'
yes 200
ask POST "$URL/api/v1/mgt/configs/$ID/publish" -d '{"content": "value = 8\n"}'
yes 200
echo "value = 6" >shop/prod/c3.toml
push other
reconcile
yes 200
echo "value = 9" >shop/prod/c2.toml
push mine
reconcile
yes 409
has "$BODY" "acme/shop/prod/c2.toml"
is "$(condition Stalled reason)" AddressOwned reason
ask GET "$F/shop/prod/c2.toml"
is "$BODY" "value = 8" body

step "a source outside the allowed folders is refused"
ask POST "$KUBE/namespaces/acme/confluxsources" -d '{
	"apiVersion": "gitops.conflux.io/v1alpha1", "kind": "ConfluxSource",
	"metadata": {"name": "etc"},
	"spec": {"url": "file:///etc", "ref": {"branch": "main"}, "interval": "1h",
		"layout": {"files": {"pathTemplate": "{application}/{environment}/{name}"}}}}'
yes 201
ask POST "$URL/api/v1/sources/acme/etc/reconcile?wait=true"
yes 403
has "$BODY" "sources.file_roots"
stop_daemon
