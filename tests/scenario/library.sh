#!/usr/bin/env bash
# What another project gets from libraftcore and libconflux: the headers are enough,
# static and shared give what the headers declare and nothing else, nothing vanishes
# unseen, the documents name all of it, and the examples are built outside of the tree.
set -euo pipefail
export LC_ALL=C
tree=$PWD
root=$WORK/stage/opt/rc
export PKG_CONFIG_PATH=$root/lib/pkgconfig
cc="gcc -std=gnu17 -Wall -Wextra -Werror"

die() { echo "library.sh: $*" >&2; exit 1; }
pc() { pkg-config --define-variable=prefix="$root" "$@" "$lib"; }
# Where functions that $lib declares lie.
headers_of() { case $lib in raftcore) echo "$root/include/raftcore/" ;; *) echo "$root/include/$lib.h" ;; esac; }

# What .B and .BI set (words, or texts in quotes, without a space between) as C: beside the
# header it has to say the same.
synopsis() {
	awk '/^\.SH/ { is_it = $2 == "SYNOPSIS" }
		is_it && sub(/^\.BI? /, "") {
			if ($0 !~ /"/) { print; next }
			text = ""
			while (match($0, /"[^"]*"|[^ "]+/)) {
				text = text substr($0, RSTART, RLENGTH)
				$0 = substr($0, RSTART + RLENGTH)
			}
			gsub(/"/, "", text)
			print text
		}' "$root/share/man/man3/lib$lib.3"
}

make BUILD="$CONFLUX_BUILD" VARIANT=release install DESTDIR="$WORK/stage" \
	PREFIX=/opt/rc >"$WORK/install.log" 2>&1 || { cat "$WORK/install.log"; exit 1; }
cp -r examples "$WORK/examples"
cd "$WORK"

for lib in raftcore conflux; do
	echo "== $lib: pkg-config"
	[ "$(pkg-config --variable=prefix $lib)" = /opt/rc ] || die "prefix in $lib.pc"
	pkg-config --exists "$lib >= 0.1" || die "version in $lib.pc"

	echo "== $lib: each header compiles alone"
	(cd "$root/include" && find . -name '*.h' | sed 's:^\./::' | sort |
		if [ $lib = raftcore ]; then grep ^raftcore/; else grep -v ^raftcore/; fi) >headers
	: >all.c
	while read -r header; do
		echo "#include <$header>" >one.c
		$cc $(pc --cflags) -fsyntax-only one.c || die "$header needs others"
		cat one.c >>all.c
	done <headers

	echo "== $lib: what they declare is what there is, in both"
	# The compiler's own list: "/* file:line:NC */ extern int name (...);"
	gcc -std=gnu17 $(pc --cflags) -fsyntax-only -aux-info declared.X all.c
	grep -F "$(headers_of)" declared.X | grep -F '*/ extern ' |
		sed -E 's:^/\*.*\*/ ::; s:^[^(]*[ *]([A-Za-z0-9_]+) \(.*:\1:' | sort -u >declared
	least=20
	[ $lib != raftcore ] || least=200
	[ "$(wc -l <declared)" -ge $least ] || die "only $(wc -l <declared) functions are declared"
	nm -D --defined-only "$root/lib/lib$lib.so" | awk '$2 == "T" { print $3 }' |
		sed 's/@.*//' | sort >shared
	nm -g --defined-only "$root/lib/lib$lib.a" | awk 'NF == 3 { print $3 }' | sort >static
	diff declared shared || die "the shared $lib and the headers differ"
	diff declared static || die "the static $lib and the headers differ"

	echo "== $lib: none has vanished since its list was made"
	list=$tree/raftcore/raftcore.syms
	[ $lib = raftcore ] || list=$tree/controller/client/sdk/conflux.syms
	soname=$(readelf -d "$root/lib/lib$lib.so" | sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
	[ "$(head -n 1 "$list")" = "# $soname" ] || die "$list is not that of $soname"
	tail -n +2 "$list" >listed
	gone=$(comm -23 listed shared | xargs)
	[ -z "$gone" ] || die "$lib has no $gone any more: programs that call it would not start.
Put it back, or raise the first number of $lib.version (GNUmakefile), which is in the
soname, and make $list anew"
	new=$(comm -13 listed shared | xargs)
	[ -z "$new" ] || die "$list does not have $new: add it, in the order of the alphabet"

	echo "== $lib: the manual page names each function"
	if [ $lib = raftcore ]; then grep ^rc_ shared; else cat shared; fi >named
	while read -r name; do
		grep -qw "$name" "$root/share/man/man3/lib$lib.3" || die "$name is not in lib$lib(3)"
	done <named
	# Nor does it name what is not there.
	grep -owE '(rc|cfx)_[a-z0-9_]+' "$root/share/man/man3/lib$lib.3" | sort -u >spoken
	gcc -std=gnu17 $(pc --cflags) -E -P all.c | grep -owE '(rc|cfx)_[a-z0-9_]+' | sort -u >words
	unknown=$(comm -23 spoken words | xargs)
	[ -z "$unknown" ] || die "lib$lib(3) speaks of $unknown"
	synopsis >synopsis.c
	$cc $(pc --cflags) -fsyntax-only synopsis.c || die "lib$lib(3) and the headers differ"
	while read -r name; do
		grep -qE "(^|[ *])$name\\(" synopsis.c || die "$name has no prototype in lib$lib(3)"
	done <named
done

echo "== libconflux(3) has the types of callbacks, and says a word of each"
{ cat shared; grep -oE '^typedef .*\bcfx_[a-z]+\(' "$root/include/conflux.h" | grep -oE 'cfx_[a-z]+'; } >prototypes
[ "$(wc -l <prototypes)" -gt "$(wc -l <shared)" ] || die "no type of a function is found"
while read -r name; do
	grep -qE "[ *]$name\\(" synopsis.c || die "$name has no prototype in libconflux(3)"
	grep -q "$name" <(sed '/^\.SH SYNOPSIS/,$d' "$root/share/man/man3/libconflux.3") ||
		case $name in cfx_listener | cfx_validator) ;; *) die "libconflux(3) does not name $name" ;; esac
done <prototypes

echo "== docs/raftcore.md lists the headers that are installed"
(cd "$root/include" && find raftcore -name '*.h' | sort) >headers
# "raftcore/wal/wal.h inspect.h": the second lies beside the first.
sed -n '/^## What is installed/,/^They include/s/^    //p' "$tree/docs/raftcore.md" |
	awk '{ for (i = 1; i <= NF && $i ~ /\.h$/; i++) {
		if (match($i, /.*\//)) folder = substr($i, 1, RLENGTH)
		print match($i, /.*\//) ? $i : folder $i } }' >named
while read -r name; do
	case $name in
	*'*.h') grep -F "${name%\*.h}" headers || die "there is no $name" ;;
	*) echo "$name" ;;
	esac
done <named | sort >there
diff headers there || die "docs/raftcore.md, What is installed, and the headers differ"

echo "== libconflux needs nothing of the daemon, and is C++ too"
readelf -d "$root/lib/libconflux.so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort >needed
printf "%s\n" libc.so.6 libcrypto.so.3 libhttp_parser.so.2.9 libssl.so.3 libyaml-0.so.2 | diff - needed ||
	die "libconflux needs other libraries"
cat >one.cc <<'END'
#include <conflux.h>
int main() { cfx_options o = CFX_OPTIONS_INIT; return o.size == sizeof(o) && cfx_version() ? 0 : 1; }
END
lib=conflux
g++ -std=c++17 -Wall -Wextra -Werror -Wno-missing-field-initializers $(pc --cflags) -o one one.cc $(pc --libs)
LD_LIBRARY_PATH=$root/lib ./one || die "a program in C++"
# Static, without the shared library beside it.
gcc $(pc --cflags) -o one -x c <(sed 's/cfx_options o/struct cfx_options o/; s/main()/main(void)/' one.cc) \
	-x none "$root/lib/libconflux.a" $(pc --static --libs | sed 's/-lconflux//')
./one || die "a program with libconflux.a"

lib=raftcore
echo "== a program with functions of the same names"
cat >same.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <io/file.h>
/* Inner to both libraries. */
int map_new(void);
int map_new(void) { abort(); }
#ifdef SHARED
/* Theirs: the library goes on with its own. */
enum code err_sys(struct err *err, int errnum, const char *fmt, ...) { abort(); }
#endif
int main(void)
{
	struct err err = { 0 };
	struct buf out = BUF_NONE;

	printf("%d %s\n", fs_get(fs_real(), "/no/such/file", &out, &err) == E_NOT_FOUND,
	       err.text);
	return 0;
}
END
cc="gcc -std=gnu17 -Wall"
$cc -DSHARED $(pc --cflags) -o same-shared same.c $(pc --libs)
$cc $(pc --cflags) -o same-static same.c "$root/lib/libraftcore.a" $(pc --static --libs | sed 's/-lraftcore//')
for how in shared static; do
	LD_LIBRARY_PATH=$root/lib ./same-$how >said || die "same-$how"
	grep -q '^1 .*No such file' said || die "same-$how says $(cat said)"
done

echo "== the examples, from the outside"
for source in examples/*.c; do
	name=$(basename "$source" .c)
	case $name in sdk_*) lib=conflux ;; *) lib=raftcore ;; esac
	more=
	! grep -q '<microhttpd.h>' "$source" || more=$(pkg-config --libs libmicrohttpd)
	$cc -Wextra -Wno-unused-parameter -Werror $(pc --cflags) -o "$name" "$source" $(pc --libs) $more
	mkdir "$name.dir"
	run=(./"$name")
	[ ! -e "examples/$name.sh" ] || run=(bash "examples/$name.sh" ./"$name")
	LD_LIBRARY_PATH=$root/lib "${run[@]}" "$name.dir" >"$name.log" 2>&1 || {
		cat "$name.log"
		die "$name ended with $?"
	}
	readelf -d "$name" | grep -q "lib$lib.so.0" || die "$name is not linked to it"
done
