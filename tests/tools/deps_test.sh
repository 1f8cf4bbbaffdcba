#!/usr/bin/env bash
# deps.sh beside a dpkg and an apt that only pretend.
set -euo pipefail
deps=$(cd "$(dirname "$0")" && pwd)/deps.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
die() { echo "deps_test: $*" >&2; exit 1; }

# The names asked for are installed, but those in $work/missing; libraft has
# the version in $work/version.
cat >"$work/dpkg-query" <<'DPKG'
#!/bin/bash
here=$(dirname "$0")
for p in "${@:4}"; do
	grep -qx "$p" "$here/missing" && continue
	v=1.0-1
	case $p in libraft*) v=$(cat "$here/version") ;; esac
	echo "ii  $p $v"
done
DPKG
printf '#!/bin/sh\necho "apt-get $*" >>%s/called; exit 1\n' "$work" >"$work/apt-get"
printf '#!/bin/sh\necho 1000\n' >"$work/id"
chmod +x "$work"/*
for tool in sh printf grep cat dirname bash tail mktemp rm env awk sort; do
	ln -s "$(command -v $tool)" "$work/$tool"
done
: >"$work/missing"
echo 0.22.1-1~bpo12+1 >"$work/version"
run() { PATH=$work sh "$deps" "$@" >"$work/out" 2>&1; }

run || die "failed though nothing is missing: $(cat "$work/out")"
[ ! -s "$work/out" ] || die "spoke though nothing is missing"
run bench || die "bench"
printf '#!/bin/sh\necho go version go1.18.1 linux/amd64\n' >"$work/go"
chmod +x "$work/go"
echo golang-go >"$work/missing"
! run chaos || die "took an old Go"
grep -q 'installing golang-go $' "$work/out" || die "old Go: another package"
printf '#!/bin/sh\necho go version go1.19.8 linux/amd64\n' >"$work/go"
run chaos || die "wanted another Go than the one that is there"
: >"$work/missing"

printf '#!/bin/sh\necho v16.20.2\n' >"$work/node"
chmod +x "$work/node"
printf 'nodejs\nnpm\n' >"$work/missing"
! run || die "took an old Node"
grep -q 'installing nodejs npm $' "$work/out" || die "old Node: other packages"
printf '#!/bin/sh\necho v18.20.4\n' >"$work/node"
! run || die "did without npm"
cp "$work/node" "$work/npm"
run || die "wanted another Node than the one that is there"
: >"$work/missing"

echo libisal-dev >"$work/missing"
! run || die "passed though a package is missing"
grep -q 'installing libisal-dev $' "$work/out" || die "named another package"
grep -q 'run as root once, or install sudo' "$work/out" || die "no hint"

: >"$work/missing"
echo 0.15.0-1 >"$work/version"
! run || die "took an old libraft"
grep -q 'installing libraft-dev libraft0 $' "$work/out" || die "old libraft"
echo 0.22.10-1 >"$work/version"
! run || die "took a newer libraft"

[ ! -e "$work/called" ] || die "asked apt without being root"
! run nonsense || die "took a wrong word"
echo "deps.sh asks for what is missing"
