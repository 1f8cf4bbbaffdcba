#!/bin/sh
# Installs what is missing to build, test and (with an argument) more, as Debian
# packages; does nothing where nothing is missing.
#
#	deps.sh		build and test
#	deps.sh bench	also the peers of the benchmarks
#	deps.sh lint	also formatter, analyser and fuzzer
#	deps.sh chaos	also what `make chaos` needs: links, packet filter, Go
#	deps.sh browser	also Chromium, 124 MB to fetch, 414 MB installed
#
# As root, or through sudo.  libraft is taken from the backports suite of the
# mirror that the machine already uses, in exactly one version: the guards in
# raftcore were written for it (docs/decisions/0001-consensus-engine.md).
set -eu

RAFT=0.22.1
base="gcc g++ make pkg-config binutils git ca-certificates curl openssl python3
libc6-dev libssl-dev libuv1-dev libnghttp2-dev nghttp2-client liblmdb-dev libhttp-parser-dev libgit2-dev
libjansson-dev libyaml-dev libtomlplusplus-dev libisal-dev libxxhash-dev libhowardhinnant-date-dev tzdata check libsubunit-dev
libcurl4-openssl-dev libmicrohttpd-dev libraft-dev libraft0 jq procps iproute2 libprotobuf-c-dev protobuf-c-compiler
python3-grpcio python3-protobuf libwslay-dev python3-websockets python3-websocket python3-h2
systemd"
case "${1:-}" in
"") want=$base
	# For the SDKs that scenarios run: any Node from 18 on with npm will do.
	node --version 2>/dev/null | grep -Eq '^v(1[89]|[2-9][0-9])\.' &&
		command -v npm >/dev/null || want="$want nodejs npm" ;;
bench) want="nginx-light etcd-server wrk" ;;
browser) want=chromium ;;
lint) want="clang clang-format clang-tidy libclang-rt-14-dev" ;;
chaos) want="iproute2 nftables util-linux gcc libc6-dev ca-certificates"
	# Any Go from 1.19 on will do.
	go version 2>/dev/null | grep -Eq 'go1\.(19|[2-9][0-9])' || want="$want golang-go" ;;
*) echo "usage: deps.sh [bench|lint|chaos|browser]" >&2; exit 2 ;;
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

# Runs quietly; shows the end of what was said when it fails.
quietly() {
	said=$(mktemp)
	"$@" >"$said" 2>&1 && { rm -f "$said"; return 0; }
	tail -n 20 "$said" >&2
	rm -f "$said"
	return 1
}

update() {
	quietly apt update || quietly apt update
}

# "suite uri" of each source that apt uses, in whatever form it is written.
# apt answers for those that it has lists of.
sources() {
	apt-get indextargets --format '$(RELEASE) $(REPO_URI)' \
		'Identifier: Packages' | sort -u
}

# The suite comes from the mirror that already serves the release itself.
enable_backports() {
	[ -n "$(sources)" ] || { update && updated=yes; }
	sources | grep -q "^$1-backports " && return 0
	uri=$(sources | awk -v s="$1" '$1 == s { print $2; exit }')
	[ -n "$uri" ] || {
		echo "deps: no apt source for $1 was found; libraft $RAFT is in" \
			"$1-backports" >&2
		exit 1
	}
	file=/etc/apt/sources.list.d/conflux-backports.sources
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	echo "deps: adding $1-backports of $uri in $file, for libraft $RAFT" >&2
	printf '%s\n' "# Added by Conflux (make deps) for libraft-dev $RAFT." \
		'Types: deb' "URIs: $uri" "Suites: $1-backports" \
		'Components: main' "Signed-By: $key" |
		$root tee $file >/dev/null
	updated=
}

updated=
pinned=
for p in $need; do
	case $p in
	libraft*) pinned=yes ;;
	esac
done
if [ -n "$pinned" ]; then
	# shellcheck disable=SC1091
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	[ "$suite" != bookworm ] || enable_backports "$suite"
fi
[ -n "$updated" ] || update

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
set -- install -y --no-install-recommends ${pinned:+--allow-downgrades} $names
quietly apt "$@" || { echo "deps: trying once more" >&2; quietly apt "$@"; }
need=$(missing)
[ -z "$need" ] || { echo "deps: still missing: $need" >&2; exit 1; }
