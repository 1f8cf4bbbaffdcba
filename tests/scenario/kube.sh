#!/usr/bin/env bash
# Objects in the Kubernetes manner: shapes, versions, conflicts, errors.
. "$(dirname "$0")/lib.bash"
start_daemon
make_tenant acme
A='"apiVersion": "gitops.conflux.io/v1alpha1"'
APPS=$KUBE/namespaces/acme/applications

step "an object is made once, with what the server adds"
ask POST "$APPS" -d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"shop\",
	\"labels\": {\"team\": \"a\"}, \"annotations\": {\"note\": \"x\"}}}"
yes 201
is "$(field .metadata.generation)" 1 generation
[ "$(field .metadata.uid)" != null ] || fail "no uid"
[ "$(field .metadata.creationTimestamp)" != null ] || fail "no time"
RV=$(field .metadata.resourceVersion)
ask POST "$APPS" -d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"shop\"}}"
yes 409
is "$(field .reason)" AlreadyExists reason
is "$(field .kind)" Status kind

step "a put of what is there changes nothing; of something else it does"
ask GET "$APPS/shop"
OBJECT=$BODY
ask PUT "$APPS/shop" -d "$OBJECT"
yes 200
is "$(field .metadata.resourceVersion)" "$RV" resourceVersion
ask PUT "$APPS/shop" -d "$(jq '.metadata.labels.team = "b"' <<<"$OBJECT")"
yes 200
[ "$(field .metadata.resourceVersion)" -gt "$RV" ] || fail "no new resourceVersion"
is "$(field .metadata.labels.team)" b label
is "$(field .metadata.annotations.note)" x annotation

step "an old resourceVersion is a conflict, in kubectl's words"
ask PUT "$APPS/shop" -d "$OBJECT"
yes 409
is "$(header X-Conflux-Code)" conflict code
is "$(field .reason)" Conflict reason
has "$BODY" "the object has been modified"

step "a merge patch; other patches are 415"
ask PATCH "$APPS/shop" -H 'Content-Type: application/merge-patch+json' \
	-d '{"metadata": {"labels": {"team": null, "zone": "n"}}}'
yes 200
is "$(field .metadata.labels.zone)" n label
is "$(field .metadata.labels.team)" null label
ask PATCH "$APPS/shop" -H 'Content-Type: application/json-patch+json' -d '[]'
yes 415

step "dryRun tells and does nothing"
ask POST "$APPS?dryRun=All" \
	-d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"dry\"}}"
yes 201
ask GET "$APPS/dry"
yes 404
is "$(field .reason)" NotFound reason

ask DELETE "$APPS/shop?dryRun=All"
yes 200
is "$(field .details.uid)" "$(jq -r .metadata.uid <<<"$OBJECT")" uid
ask DELETE "$APPS/shop" -d '{"kind": "DeleteOptions", "dryRun": ["All"]}'
yes 200
ask DELETE "$APPS/none?dryRun=All"
yes 404
ask GET "$APPS/shop"
yes 200
OBJECT=$BODY RV=$(field .metadata.resourceVersion)

step "a dryRun that is not understood writes nothing"
for q in dryRun=bad dryRun= 'dryRun=All&dryRun=x'; do
	ask POST "$APPS?$q" \
		-d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"dry\"}}"
	yes 422
	has "$BODY" 'supported values: \"All\"'
	ask DELETE "$APPS/shop?$q"
	yes 422
	ask PUT "$APPS/shop?$q" -d "$(jq '.metadata.labels.team = "c"' <<<"$OBJECT")"
	yes 422
done
ask DELETE "$APPS/shop" -d '{"dryRun": ["some"]}'
yes 422
ask GET "$APPS/dry"
yes 404
ask GET "$APPS/shop"
is "$BODY" "$OBJECT" object
ask POST "$URL/api/v1/mgt/configs?dryRun=All" -d '{}'
yes 400
has "$BODY" "dryRun"

step "a deletion has conditions and options"
OTHER=00000000-0000-4000-8000-000000000000
while IFS='|' read -r status words body; do
	ask DELETE "$APPS/shop" -d "$body"
	yes "$status"
	has "$BODY" "$words"
	is "$(field .kind)" Status kind
done <<LIST
409|UID in precondition: $OTHER|{"preconditions": {"uid": "$OTHER"}}
409|ResourceVersion in precondition: 1,|{"preconditions": {"resourceVersion": "1"}}
400|preconditions has|{"preconditions": {"resourceVersion": 1}}
400|preconditions has|{"preconditions": {"uuid": "$OTHER"}}
422|preconditions|{"preconditions": "x"}
422|precondition|{"precondition": {"uid": "$OTHER"}}
422|propagationPolicy: Unsupported value|{"propagationPolicy": "Sideways"}
400|DeleteOptions|{"kind": "Application"}
400|body|[]
LIST
ask DELETE "$APPS/shop?propagationPolicy=Sideways"
yes 422
ask DELETE "$APPS/shop?dryRun=All" -H "If-Match: 1"
yes 409
ask GET "$APPS/shop"
is "$BODY" "$OBJECT" object

step "uid and resourceVersion of a put are conditions, and texts"
ask PUT "$APPS/shop" -d "$(jq '.metadata.resourceVersion = 5' <<<"$OBJECT")"
yes 400
has "$BODY" "metadata.resourceVersion is a number"
ask PUT "$APPS/shop" -d "$(jq --arg u $OTHER '.metadata.uid = $u' <<<"$OBJECT")"
yes 409
is "$(field .reason)" Conflict reason
ask PATCH "$APPS/shop" -H 'Content-Type: application/merge-patch+json' \
	-d '{"metadata": {"uid": "'$OTHER'"}}'
yes 409
ask PATCH "$APPS/shop" -H 'Content-Type: application/merge-patch+json' \
	-d '{"metadata": {"resourceVersion": 5}}'
yes 400
ask GET "$APPS/shop"
is "$BODY" "$OBJECT" object

step "what is wrong is named"
while IFS='|' read -r status words body; do
	ask POST "$KUBE/namespaces/acme/confluxsources" -d "$body"
	yes "$status"
	has "$BODY" "$words"
	is "$(field .kind)" Status kind
done <<LIST
422|spec.url|{$A, "kind": "ConfluxSource", "metadata": {"name": "s"}, "spec": {}}
422|spec.interval|{$A, "kind": "ConfluxSource", "metadata": {"name": "s"}, "spec": {"url": "https://x/y", "interval": "1ms"}}
422|\\"S_\\" is invalid|{$A, "kind": "ConfluxSource", "metadata": {"name": "S_"}, "spec": {"url": "https://x/y"}}
422|metadata.name|{$A, "kind": "ConfluxSource", "metadata": {"name": "S_"}, "spec": {"url": "https://x/y"}}
400|kind|{$A, "kind": "Tenant", "metadata": {"name": "s"}}
400|apiVersion|{"apiVersion": "v1", "kind": "ConfluxSource", "metadata": {"name": "s"}}
400|line|{$A,
LIST
ask POST "$KUBE/namespaces/acme/confluxconfigs" -d "{$A, \"kind\": \"ConfluxConfig\",
	\"metadata\": {\"name\": \"c\"}, \"spec\": {\"application\": \"shop\",
	\"environment\": \"prod\", \"template\": {\"content\": \"x\"}}}"
yes 422
has "$BODY" "references are not supported"
for spec in '"content": "{{ secret.x }}"' '"content": "x", "secretsRef": {"name": "s"}'; do
	ask POST "$KUBE/namespaces/acme/confluxconfigs" -d "{$A, \"kind\": \"ConfluxConfig\",
		\"metadata\": {\"name\": \"c\"}, \"spec\": {\"application\": \"shop\",
		\"environment\": \"prod\", \"name\": \"c.txt\", $spec}}"
	yes 422
	has "$BODY" "not supported"
done
ask GET "$KUBE/nothing"
yes 404
ask POST "$KUBE/namespaces/none/applications" \
	-d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"shop\"}}"
yes 404

step "fields that are not known are named, as far as a header has room"
for n in 10 3000 100000; do
	jq -n --argjson n $n '{apiVersion: "gitops.conflux.io/v1alpha1", kind: "Application",
		metadata: {name: "unknown"}, spec: ({("x" * $n): 1} + {y: 1, z: 1})}' >"$WORK/req"
	ask POST "$APPS?dryRun=All" --http2-prior-knowledge -m 30 -d @"$WORK/req"
	yes 201
	has "$(header warning)" 'unknown field'
	[ ${#HEADERS} -lt 6000 ] || fail "a header of ${#HEADERS} bytes"
done
has "$(header warning)" "3 unknown fields"

step "a configuration with its content in the object"
ask POST "$KUBE/namespaces/acme/confluxconfigs" -d "{$A, \"kind\": \"ConfluxConfig\",
	\"metadata\": {\"name\": \"c\"}, \"spec\": {\"application\": \"shop\",
	\"environment\": \"prod\", \"name\": \"c.json\", \"content\": \"{\\\"a\\\": 1}\"}}"
yes 201
is "$(field .status.version)" 1 version
is "$(field .spec.format)" json format
is "$(field .spec.content)" null content
ask GET "$URL/api/v1/fetch/config/acme/shop/prod/c.json"
is "$BODY" '{"a": 1}' body

step "lists have a resourceVersion and all items"
for i in 1 2 3; do
	ask POST "$APPS" -d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"a$i\"}}"
	yes 201
done
ask GET "$APPS"
is "$(field '[.items[].metadata.name] | join(" ")')" "a1 a2 a3 shop" names
[ "$(field .metadata.resourceVersion)" -gt 1 ] || fail "no resourceVersion"


step "selectors choose, and what is no selector is refused"
selects() {
	ask GET "$APPS" -G --data-urlencode "$1"
	yes 200
	is "$(field '[.items[].metadata.name] | join(" ")')" "$2" "$1"
}
selects 'labelSelector=zone=n' shop
selects 'labelSelector=zone in (m, n)' shop
selects 'labelSelector=zone notin (n),!team' "a1 a2 a3"
selects 'labelSelector=' "a1 a2 a3 shop"
selects 'fieldSelector=metadata.name!=shop' "a1 a2 a3"
for q in 'labelSelector=a=b=c' 'labelSelector=zone in n' 'labelSelector=,' \
	'labelSelector==x' 'fieldSelector=metadata.name' 'fieldSelector=spec.no=1'; do
	ask GET "$APPS" -G --data-urlencode "$q"
	yes 400
	is "$(field .reason)" BadRequest reason
done

step "a quota of the tenant: refused with its number, also in a dry run, and shown"
ask GET "$KUBE/tenants/acme"
USED=$(field .status.used.applications)
ask PATCH "$KUBE/tenants/acme" -H 'Content-Type: application/merge-patch+json' \
	-d "{\"spec\": {\"quotas\": {\"applications\": $((USED + 1)), \"contentBytes\": 1}}}"
yes 200
for q in '' '?dryRun=All'; do
	ask POST "$APPS$q" -d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"q1$([ -z "$q" ] || echo d)\"}}"
	yes $([ -z "$q" ] && echo 201 || echo 403)
done
is "$(field .reason)" Forbidden reason
ask POST "$APPS" -d "{$A, \"kind\": \"Application\", \"metadata\": {\"name\": \"q2\"}}"
yes 403
has "$BODY" "tenant acme may have $((USED + 1)) applications, has $((USED + 1))"
ask GET "$KUBE/tenants/acme"
is "$(field .status.used.applications)" $((USED + 1)) used
is "$(field .spec.quotas.applications)" $((USED + 1)) quota
ask POST "$URL/api/v1/mgt/configs" -d '{"tenant": "acme", "application": "shop",
	"environment": "prod", "name": "big.txt", "content": "more than a byte"}'
yes 403
has "$BODY" "quota-exceeded"
ask PATCH "$KUBE/tenants/acme" -H 'Content-Type: application/merge-patch+json' \
	-d '{"spec": {"quotas": {"applications": -1}}}'
yes 422
ask PATCH "$KUBE/tenants/acme" -H 'Content-Type: application/merge-patch+json' \
	-d '{"spec": {"quotas": null}}'
yes 200
ask DELETE "$APPS/q1"
yes 200

step "deleted is gone"
ask GET "$APPS/a1"
ask DELETE "$APPS/a1" -d "$(jq '{kind: "DeleteOptions", apiVersion: "v1",
	propagationPolicy: "Background", gracePeriodSeconds: null,
	preconditions: (.metadata | {uid, resourceVersion})}' <<<"$BODY")"
yes 200
ask GET "$APPS/a1"
yes 404
stop_daemon
