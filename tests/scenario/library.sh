#!/usr/bin/env bash
# What another project gets from libraftcore: the headers are enough, both
# libraries give what the headers declare and nothing else, and the examples are
# built outside of the tree.
set -euo pipefail
root=$WORK/stage/opt/rc
export PKG_CONFIG_PATH=$root/lib/pkgconfig
cc="gcc -std=gnu17 -Wall -Wextra -Werror"

die() { echo "library.sh: $*" >&2; exit 1; }
pc() { pkg-config --define-variable=prefix="$root" "$@" raftcore; }

make BUILD="$CONFLUX_BUILD" VARIANT=release install DESTDIR="$WORK/stage" \
	PREFIX=/opt/rc >"$WORK/install.log" 2>&1 || { cat "$WORK/install.log"; exit 1; }
[ "$(pkg-config --variable=prefix raftcore)" = /opt/rc ] || die "prefix in raftcore.pc"
pkg-config --exists 'raftcore >= 0.1' || die "version in raftcore.pc"
cp -r examples "$WORK/examples"
cd "$WORK"

echo "== each header compiles alone"
(cd "$root/include" && find raftcore -name '*.h' | sort) >headers
while read -r header; do
	echo "#include <$header>" >one.c
	$cc $(pc --cflags) -fsyntax-only one.c || die "$header needs others"
	cat one.c >>all.c
done <headers

echo "== what they declare is what there is, in both"
# The compiler's own list: "/* file:line:NC */ extern int name (...);"
gcc -std=gnu17 $(pc --cflags) -fsyntax-only -aux-info declared.X all.c
grep -F "$root/include/" declared.X | grep -F '*/ extern ' |
	sed -E 's:^/\*.*\*/ ::; s:^[^(]*[ *]([A-Za-z0-9_]+) \(.*:\1:' | sort -u >declared
[ "$(wc -l <declared)" -gt 200 ] || die "only $(wc -l <declared) functions are declared"
nm -D --defined-only "$root/lib/libraftcore.so" | awk '$2 == "T" { print $3 }' |
	sed 's/@.*//' | sort >shared
nm -g --defined-only "$root/lib/libraftcore.a" | awk 'NF == 3 { print $3 }' | sort >static
diff declared shared || die "the shared library and the headers differ"
diff declared static || die "the static library and the headers differ"

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
	$cc -Wextra -Wno-unused-parameter -Werror $(pc --cflags) -o "$name" "$source" $(pc --libs)
	mkdir "$name.dir"
	LD_LIBRARY_PATH=$root/lib ./"$name" "$name.dir" >"$name.log" 2>&1 || {
		cat "$name.log"
		die "$name ended with $?"
	}
	readelf -d "$name" | grep -q 'libraftcore.so.0' || die "$name is not linked to it"
done
