#!/usr/bin/env bash
# Plans: what a commit would change is seen before it happens, and exactly that is
# done, or nothing.
. "$(dirname "$0")/lib.bash"
start_daemon
PATH=$CONFLUX_BIN:$PATH
run() {
	status=0
	OUT=$(conflux "$@" 2>"$WORK/err") || status=$?
	ERR=$(cat "$WORK/err")
}
ends() { is "$status" "$1" "exit status, said: $OUT $ERR"; }
KEY=acme/shop/prod/x.toml
REPO=$WORK/repo
commit() { git -C "$REPO" add -A && git -C "$REPO" -c user.name=Ann -c user.email=ann@example.org commit -qm "$1"; }

make_tenant acme
git init -q -b main "$REPO"
mkdir -p "$REPO/shop/prod"
printf 'a = 1\nb = 1\npassword = "x"\n' >"$REPO/shop/prod/x.toml"
commit one
cat >"$WORK/source.yaml" <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxSource
metadata: {name: shop, namespace: acme}
spec: {url: "file://$REPO", interval: 1h}
Y
conflux apply -f "$WORK/source.yaml" >/dev/null
conflux reconcile acme/shop >/dev/null

step "there is nothing to plan where everything is live"
run plan --source acme/shop --detailed-exitcode
ends 0
has "$OUT" "nothing to do"

step "a plan shows each change by its path, and secrets as changed alone"
printf 'a = 2\nb = 1\npassword = "y"\n' >"$REPO/shop/prod/x.toml"
commit two
run plan --source acme/shop --out "$WORK/plan.json" --detailed-exitcode
ends 8
has "$OUT" "~ a: 1 -> 2"
hasnt "$OUT" '"y"'
hasnt "$OUT" "~ b"
hasnt "$(cat "$WORK/plan.json")" '"y"'
is "$(conflux fetch $KEY | head -n 1)" "a = 1" "nothing happened yet"

step "a plan of an older commit is another plan"
printf 'a = 3\n' >"$REPO/shop/prod/x.toml"
commit three
run plan --source acme/shop --commit "$(git -C "$REPO" rev-parse HEAD~1)" -o name
ends 0
is "$OUT" "$(jq -r .digest "$WORK/plan.json")" "the same commit, the same plan"
run plan --source acme/shop --commit 0123456 -o name
ends 3
has "$ERR" "no commit 0123456"

step "exactly that is done, and the source says which commit is live"
run apply "$WORK/plan.json" -m "as reviewed"
ends 0
is "$(conflux fetch $KEY | head -n 1)" "a = 2" "what the plan said"
has "$(conflux get src -n acme -o json shop | jq -r .status.lastAppliedRevision)" \
	"$(git -C "$REPO" rev-parse HEAD~1)"

step "what moved since is not written over"
run apply "$WORK/plan.json"
ends 6
has "$ERR" "since this was planned"

step "the next reconcile goes on from there, and it is still the source's"
run reconcile acme/shop
ends 0
is "$(conflux fetch $KEY)" "a = 3" "the newest commit"

step "files are planned like commits"
cat >"$WORK/free.yaml" <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxConfig
metadata: {name: free, namespace: acme}
spec: {application: shop, environment: prod, name: free.json, content: '{"on": [1, 2, 3]}'}
Y
run plan -f "$WORK/free.yaml" --out "$WORK/free.plan"
ends 0
run fetch acme/shop/prod/free.json
ends 3
run apply "$WORK/free.plan"
ends 0
is "$(conflux fetch acme/shop/prod/free.json)" '{"on": [1, 2, 3]}' "content of the plan"
sed -i 's/2, 3/3/' "$WORK/free.yaml"
run plan -f "$WORK/free.yaml"
ends 0
has "$OUT" "on[1]"

step "what others wrote tells the terminal nothing, and makes no line of its own"
ESC=$(printf '\033')
cat >"$WORK/evil.yaml" <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxConfig
metadata: {name: evil, namespace: acme}
spec: {application: shop, environment: prod, name: evil.txt, content: "one\n+ bad\e[2K\e[1A\n\x9b2Jtwo\u202e\n"}
Y
run plan -f "$WORK/evil.yaml"
ends 0
has "$OUT" 'bad\u001b[2K\u001b[1A'
has "$OUT" '\u009b2Jtwo\u202e'
hasnt "$OUT" "$ESC"
printf '{"on": []}' >"$WORK/none.json"
run publish acme/shop/prod/free.json -f "$WORK/none.json" --not-before 1h \
	-m "fine${ESC}[8m"$'\n'"author:     root"$'\xc2\x9b'"1A"
ends 0
P=$(grep -o 'p-[0-9]*' <<<"$OUT")
run proposals "acme/$P"
has "$OUT" 'reason:     fine\u001b[8m author:     root\u009b1A'
is "$(grep -c '^author:' <<<"$OUT")" 1 "lines that say who"
run proposals
hasnt "$OUT" "$ESC"
conflux cancel "acme/$P" >/dev/null

step "what is to start later starts later, though the node is killed meanwhile"
printf '{"on": false}' >"$WORK/later.json"
run publish acme/shop/prod/free.json -f "$WORK/later.json" --not-before tomorrow
ends 4
has "$ERR" "is no time"
T=$(date +%s)
run publish acme/shop/prod/free.json -f "$WORK/later.json" --not-before 4s
ends 0
has "$OUT" "waits for its time"
P=$(grep -o 'p-[0-9]*' <<<"$OUT")
run proposals "acme/$P"
has "$OUT" "not before"
LIVE=$(conflux fetch acme/shop/prod/free.json)
# On a slow machine it may have.
[ $(($(date +%s) - T)) -ge 4 ] || is "$LIVE" '{"on": [1, 2, 3]}' "its time has not come"
LISTEN=${URL#http://}
stop_daemon KILL
start_daemon
its_time() { [ "$(conflux fetch acme/shop/prod/free.json)" = '{"on": false}' ]; }
until_ok its_time
ask GET "$KUBE/namespaces/acme/releaseproposals/$P"
[[ ! $(field .status.endedAt) < $(field .spec.notBefore) ]] || fail "executed before its time"
conflux audit verify >/dev/null

step "what goes out is what the plan says: a first version at once, whatever the policy"
conflux apply -f - >/dev/null <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ReleasePolicy
metadata: {name: careful, namespace: acme}
spec: {strategy: canary, steps: [{percent: 10, pause: manual}]}
Y
run plan -f "$WORK/free.yaml"
has "$OUT" "goes out by careful: canary"
hasnt "$OUT" "at once"
sed 's/free/second/g' "$WORK/free.yaml" >"$WORK/second.yaml"
run plan -f "$WORK/second.yaml"
has "$OUT" "goes out to all at once: 1 first version, which no policy delays"
hasnt "$OUT" "canary"
run plan -f "$WORK/second.yaml" -f "$WORK/free.yaml"
has "$OUT" "goes out by careful: canary"
has "$OUT" "goes out to all at once: 1 first version,"
run apply -f "$WORK/second.yaml"
ends 0
is "$(conflux release list -n acme --phase Completed -o json | jq -r '.releases[0].object.spec.strategy')" \
	immediate "as the plan said"

step "a policy is chosen by the labels from before the change"
cat >"$WORK/marked.yaml" <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ConfluxConfig
metadata: {name: second, namespace: acme, labels: {mark: x}}
spec: {application: shop, environment: prod, name: second.json, content: '{"on": 3}'}
Y
conflux apply -f - >/dev/null <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ReleasePolicy
metadata: {name: marked, namespace: acme}
spec: {priority: 7, select: {labels: {mark: x}}, strategy: canary, steps: [{percent: 10, pause: manual}]}
Y
run plan -f "$WORK/marked.yaml"
has "$OUT" "goes out by careful: canary"
conflux delete releasepolicy marked -n acme >/dev/null

step "what goes out along with a change is shown, and counted"
sed 's/2, 3\|3\]/7]/' "$WORK/free.yaml" >"$WORK/both.yaml"
echo --- >>"$WORK/both.yaml"
sed 's/"on": .*/"on": 8}'"'}"'/' "$WORK/second.yaml" >>"$WORK/both.yaml"
run plan -f "$WORK/both.yaml" --out "$WORK/both.plan"
ends 0
run apply "$WORK/both.plan"
ends 0
sed 's/"on": .*/"on": 9}'"'}"'/' "$WORK/free.yaml" >"$WORK/alone.yaml"
run plan -f "$WORK/alone.yaml"
has "$OUT" "goes out along with it: acme/shop/prod/second.json"
has "$OUT" "reaches 2 configurations"
run plan -f "$WORK/alone.yaml" -o json
is "$(jq -c '[.along[] | [.name, .was_held]]' <<<"$OUT")" '[["second",false]]' along
conflux release abort "$(conflux release list -n acme -o json | jq -r '.releases[0].id')" >/dev/null

step "a list of releases: those that go out first, then the newest; in pages"
run apply -f "$WORK/free.yaml"
ends 0
run apply -f "$WORK/second.yaml"
sed 's/free/third/g' "$WORK/free.yaml" >"$WORK/third.yaml"
run apply -f "$WORK/third.yaml"
ALL=$(conflux release list -n acme -o json)
is "$(jq -r '.releases[0].object.status.phase' <<<"$ALL")" Progressing "the first"
is "$(jq -r '[.releases[1:][].id] | . == (sort | reverse)' <<<"$ALL")" true "the newest first"
is "$(jq '.releases | length' <<<"$ALL")" "$(conflux get releases -n acme -o name | wc -l)" all
run release list -n acme --limit 2 -o json
is "$(jq .remaining <<<"$OUT")" "$(jq '.releases | length - 2' <<<"$ALL")" remaining
PAGED=$(jq -r '.releases[].id' <<<"$OUT")
while NEXT=$(jq -er .next <<<"$OUT"); do
	run release list -n acme --limit 2 --after "$NEXT" -o json
	PAGED+=$'\n'$(jq -r '.releases[].id' <<<"$OUT")
done
is "$PAGED" "$(jq -r '.releases[].id' <<<"$ALL")" "page by page"
run release list -n acme --limit 2
has "$ERR" "more: --limit, or --after over/acme/r-"
run release list -n acme --phase Gone
ends 4

step "all that is invalid in files is told, with file, object and field; nothing is planned"
mkdir "$WORK/bad"
sed "s/name: free,/name: bad1,/; s/free.json/bad1.json/; s/'{.*}'/'{\"on\": }'/" "$WORK/free.yaml" >"$WORK/bad/one.yaml"
sed 's/name: free,/name: bad2,/; s/application: shop/application: 5/; s/environment: prod/environment: prod, bogus: 1/' \
	"$WORK/free.yaml" >"$WORK/bad/two.yaml"
sed 's/name: free,/name: good,/; s/free.json/good.json/' "$WORK/free.yaml" >"$WORK/bad/good.yaml"
run plan -f "$WORK/bad" --out "$WORK/bad.plan"
ends 4
has "$ERR" "$WORK/bad/one.yaml: confluxconfig bad1: content (json): line 1"
has "$ERR" "$WORK/bad/two.yaml: confluxconfig bad2: spec.application: "
hasnt "$ERR" good
has "$ERR" "2 of 3 manifests are invalid"
[ ! -e "$WORK/bad.plan" ] || fail "there is a plan"
run plan -f "$WORK/bad" -o json
ends 4
is "$(jq -r '[.invalid[].name] | unique | join(" ")' <<<"$OUT")" "bad1 bad2" "as JSON"

step "of a commit too"
printf 'a = \n' >"$REPO/shop/prod/x.toml"
printf '{"a": 1,}' >"$REPO/shop/prod/y.json"
printf 'a: 1' >"$REPO/shop/prod/z.yaml"
commit bad
run plan --source acme/shop --detailed-exitcode
ends 4
has "$ERR" "shop/prod/x.toml: acme/shop/prod/x.toml: line 1"
has "$ERR" "shop/prod/y.json: acme/shop/prod/y.json: line 1"
hasnt "$ERR" z.yaml
has "$ERR" "2 of what the commit holds are invalid"
run reconcile acme/shop
ends 4
has "$ERR" "shop/prod/x.toml: acme/shop/prod/x.toml: line 1"
has "$ERR" "shop/prod/y.json: acme/shop/prod/y.json: line 1"
has "$ERR" "refused: shop/prod/x.toml: line 1"
has "$ERR" "; and 1 more of what the commit holds is invalid"
has "$(conflux get sources -n acme -o wide)" "; and 1 more of what the commit holds is invalid"
for i in {1..100}; do printf '{' >"$REPO/shop/prod/many-$i.json"; done
commit worse
run plan --source acme/shop
ends 4
has "$ERR" "102 of what the commit holds are invalid"
SHOWN=$(grep -c '^shop/prod/' <<<"$ERR")
has "$ERR" "and $((102 - SHOWN)) more"

step "of very many all are looked at, and count"
conflux apply -f - >/dev/null <<Y
apiVersion: gitops.conflux.io/v1alpha1
kind: ApprovalPolicy
metadata: {name: leads, namespace: acme}
spec: {select: {environments: [prod]}, stages: [{name: leads, required: 1, from: {groups: [leads]}}]}
Y
git -C "$REPO" rm -qrf .
for i in {100..249}; do
	mkdir -p "$REPO/app$i/dev"
	for k in {1..68}; do echo "$i" >"$REPO/app$i/dev/$k.txt"; done
done
mkdir -p "$REPO/shop/prod"
printf 'a = 4\n' >"$REPO/shop/prod/x.toml"
commit many
run plan --source acme/shop --out "$WORK/many.json"
ends 0
OUT=$(tail -n 9 <<<"$OUT")
has "$OUT" "reaches 10201 configurations, 151 applications, 151 environments"
is "$(jq -c '.blast_radius | [(.applications, .environments | length), .applications_more, .environments_more]' \
	"$WORK/many.json")" "[100,100,51,51]" "names and the rest"
has "$OUT" "needs approval (leads): 1 of group leads"
is "$(jq -c '.gate | [.needs_approval, .not_looked_at]' "$WORK/many.json")" "[true,null]" "the last is in prod"

step "where there are too many policies for that, it says what was not looked at"
for i in {1..450}; do
	echo "--- {apiVersion: gitops.conflux.io/v1alpha1, kind: ApprovalPolicy, metadata: {name: p$i, namespace: acme}," \
		"spec: {select: {environments: [no]}, stages: [{name: a, required: 1, from: {groups: [leads]}}]}}"
done | conflux apply -f - >/dev/null
run plan --source acme/shop --out "$WORK/many.json"
ends 0
has "$(tail -n 9 <<<"$OUT")" "not known whether it needs more approval or is frozen: "
is "$(jq -c '.gate | [.needs_approval, .is_frozen, .may_break_glass, .not_looked_at > 0]' "$WORK/many.json")" \
	"[null,null,null,true]" "it is not known"
conflux delete approvalpolicy leads -n acme >/dev/null
git -C "$REPO" rm -qrf .

step "of very much not all is compared"
mkdir -p "$REPO/shop/prod"
printf 'a = 4\n' >"$REPO/shop/prod/x.toml"
for i in {10..29}; do printf '{"a": 1%480000s}' "" >"$REPO/shop/prod/wide-$i.json"; done
commit wide
run plan --source acme/shop --out "$WORK/wide.json"
ends 0
is "$(jq '[.changes[] | select(.too_large)] | length' "$WORK/wide.json")" 3 "not compared"
is "$(jq '[.changes[] | select(.diff)] | length' "$WORK/wide.json")" 18 "compared"
