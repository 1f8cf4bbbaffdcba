#!/bin/sh
# The official JSON Schema test suite, for tests/unit/schema/suite.c: the files
# of Debian's package json-schema-test-suite, unpacked into a folder.
#
#	schema_suite.sh FOLDER
#
# The package itself is not installed, because it wants a web server in Python
# on the machine; its files want nothing.  Needs no root; does nothing where the
# folder is there.  Where it cannot be had, FOLDER holds the file `missing`,
# which says why, and the test fails with it.
set -eu

package=json-schema-test-suite
to=$1
installed=/usr/share/$package/tests
[ ! -d "$to/tests" ] || exit 0
mkdir -p "$to"
to=$(cd "$to" && pwd)
rm -f "$to/missing"
if [ -d $installed ]; then
	ln -s $installed "$to/tests"
	exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Lists of our own where the machine has none: that needs no root either.
download() {
	apt-get -q download $package && return 0
	mkdir -p lists/partial cache/archives/partial
	set -- -q -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache"
	apt-get "$@" update && apt-get "$@" download $package
}

echo "fetching the files of $package ($to)" >&2
if download >said 2>&1 && dpkg-deb -x $package*.deb files 2>>said; then
	mv "files/usr/share/$package/tests" "$to/tests"
	exit 0
fi
{
	echo "the package $package could not be fetched:"
	tail -n 5 said
	echo "unpack it by hand: dpkg-deb -x $package*.deb, then its" \
		"usr/share/$package/tests to $to/tests"
} >"$to/missing"
cat "$to/missing" >&2
