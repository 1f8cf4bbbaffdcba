#!/usr/bin/env bash
# A client of custom_state_machine: makes, changes and removes students at one node and
# at three, kills the nodes, starts them again from checkpoint and log, and compares.
#
#	bash custom_state_machine.sh ./register FOLDER
set -euo pipefail
register=$1 folder=$2
trap 'kill -KILL $(jobs -p) 2>/dev/null || true' EXIT
# A port that nobody listens on, another each time, below those that the kernel gives out.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		mkdir "$folder/port-$port" 2>/dev/null || continue
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
	done
	echo "$port"
}

start() {
	for id in $(seq "$n"); do
		"$register" "$id" "$folder/$n-$id" "${http[$id]}" "${raft[@]}" &
		pids[$id]=$!
	done
}
kill_all() {
	kill -KILL "${pids[@]}"
	wait "${pids[@]}" 2>/dev/null || true
}
# NODE METHOD PATH BODY STATUS: asks until somebody listens and leads.  The answer is $said.
ask() {
	local status=000 tries=0
	until [ "$status" != 000 ] && [ "$status" -lt 500 ]; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || { echo "$*: $status in vain" >&2; exit 1; }
		[ $tries = 1 ] || sleep 0.05
		status=$(curl -s -o "$folder/said" -w '%{http_code}' -X "$2" --data-binary "$4" \
			"http://127.0.0.1:${http[$1]}$3") || true
	done
	said=$(cat "$folder/said")
	[ "$status" = "$5" ] || { echo "$*: $status $said" >&2; exit 1; }
}
shows() { [[ $said == *"$1"* ]] || { echo "'$1' is not in: $said" >&2; exit 1; }; }

for n in 1 3; do
	raft=() http=() pids=()
	for id in $(seq "$n"); do
		raft+=("127.0.0.1:$(free_port)")
		http[$id]=$(free_port)
		mkdir -p "$folder/$n-$id"
	done
	start
	ask "$n" POST /students Ada 201
	id=$(sed -E 's/.*"id":([0-9]+).*/\1/' <<<"$said")
	ask 1 PUT "/students/$id" 'Ada Lovelace' 200
	ask 1 PUT /students/7777 Nobody 404
	ask 1 PATCH "/students/$id" '' 405
	for at in $(seq "$n"); do
		ask "$at" GET "/students/$id" '' 200
		shows '"Ada Lovelace"'
	done
	for i in $(seq 40); do ask $((i % n + 1)) POST /students "student $i" 201; done
	last=$(sed -E 's/.*"id":([0-9]+).*/\1/' <<<"$said")
	ask "$n" DELETE "/students/$last" '' 200
	for at in $(seq "$n"); do
		until compgen -G "$folder/$n-$at/checkpoints/*.meta" >/dev/null; do sleep 0.05; done
	done
	kill_all
	start
	for at in $(seq "$n"); do
		ask "$at" GET /students '' 200
		shows '"Ada Lovelace"'
		shows '"student 39"'
		ask "$at" GET "/students/$last" '' 404
	done
	kill_all
	echo "$n: made, changed and removed, also after all were killed"
done
