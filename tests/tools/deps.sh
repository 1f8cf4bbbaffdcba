#!/bin/sh
# Installs what is missing to build, test and (with an argument) more, as Debian
# packages; does nothing where nothing is missing.
#
#	deps.sh		build and test
#	deps.sh bench	also the peers of the benchmarks
#	deps.sh lint	also formatter, analyser and fuzzer
#
# As root, or through sudo.  libraft is taken from the backports suite of the
# mirror that the machine already uses, in exactly one version: the guards in
# raftcore were written for it (docs/decisions/0001-consensus-engine.md).
set -eu

RAFT=0.22.1
base="gcc g++ make pkg-config binutils git ca-certificates curl openssl python3
libc6-dev libssl-dev libuv1-dev liblmdb-dev libhttp-parser-dev libgit2-dev
libjansson-dev libyaml-dev libtomlplusplus-dev libisal-dev check libsubunit-dev
libraft-dev libraft0"
case "${1:-}" in
"") want=$base ;;
bench) want="nginx-light etcd-server wrk" ;;
lint) want="clang clang-format clang-tidy libclang-rt-14-dev" ;;
*) echo "usage: deps.sh [bench|lint]" >&2; exit 2 ;;
esac

# Words of $want that dpkg does not have installed.
missing() {
	# shellcheck disable=SC2086
	have=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' \
		$want 2>/dev/null || true)
	for p in $want; do
		case $p in
		libraft*) printf '%s\n' "$have" | grep -q "^ii *$p $RAFT-" ||
			printf '%s ' "$p" ;;
		*) printf '%s\n' "$have" | grep -q "^ii *$p " ||
			printf '%s ' "$p" ;;
		esac
	done
}

need=$(missing)
[ -n "$need" ] || exit 0
echo "deps: installing $need" >&2

root=
if [ "$(id -u)" != 0 ]; then
	command -v sudo >/dev/null || {
		echo "deps: run as root once, or install sudo" >&2
		exit 1
	}
	root="sudo"
fi

apt() {
	$root env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q \
		-o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@"
}

# The mirror of the machine's own sources, one-line or deb822.
mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null |
		awk '$1 == "deb" { for (i = 2; i <= NF; i++) if ($i ~ /:\/\//) {
			print $i, $(i + 1) } }'
	cat /etc/apt/sources.list.d/*.sources 2>/dev/null |
		awk '/^URIs:/ { u = $2 } /^Suites:/ { print u, $2 }'
}

enable_backports() {
	suite=$1
	grep -rqs "$suite-backports" /etc/apt/sources.list \
		/etc/apt/sources.list.d/ && return 0
	uri=$(mirror | awk -v s="$suite" '$2 == s { print $1; exit }')
	[ -n "$uri" ] || {
		echo "deps: no apt source for $suite was found; libraft $RAFT" \
			"is in $suite-backports" >&2
		exit 1
	}
	file=/etc/apt/sources.list.d/conflux-backports.sources
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	echo "deps: enabling $suite-backports in $file (for libraft)" >&2
	printf 'Types: deb\nURIs: %s\nSuites: %s-backports\nComponents: main\n%s\n' \
		"$uri" "$suite" "Signed-By: $key" | $root tee $file >/dev/null
}

pinned=
for p in $need; do
	case $p in
	libraft*)
		# shellcheck disable=SC1091
		suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
		[ "$suite" != bookworm ] || enable_backports "$suite"
		pinned=yes ;;
	esac
done
apt update >/dev/null || apt update >/dev/null

# The version has to be named: backports have a low pin.
names=
for p in $need; do
	case $p in
	libraft*)
		v=$(apt-cache madison "$p" | awk -v r="$RAFT-" \
			'index($3, r) == 1 { print $3; exit }')
		[ -n "$v" ] || {
			echo "deps: $p $RAFT is in none of the apt sources" >&2
			exit 1
		}
		names="$names $p=$v" ;;
	*) names="$names $p" ;;
	esac
done

# Servers that only benchmarks use shall not start by being installed.
policy=/usr/sbin/policy-rc.d
if [ "${1:-}" = bench ] && [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | $root tee $policy >/dev/null
	$root chmod 755 $policy
	trap '$root rm -f $policy' EXIT
fi
# shellcheck disable=SC2086
apt install -y --no-install-recommends ${pinned:+--allow-downgrades} $names \
	>/tmp/conflux-deps.$$ 2>&1 || {
	tail -n 20 /tmp/conflux-deps.$$ >&2
	exit 1
}
rm -f /tmp/conflux-deps.$$
need=$(missing)
[ -z "$need" ] || { echo "deps: still missing: $need" >&2; exit 1; }
