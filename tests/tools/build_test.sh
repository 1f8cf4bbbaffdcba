#!/usr/bin/env bash
# The build's own promises, on a small tree of its own: the layering is kept by
# the compiler, what changed is rebuilt, and the counts of `make check` are true.
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

write() { mkdir -p "$(dirname "$1")" && cat >"$1"; }
die() { echo "build_test: $*" >&2; exit 1; }
make() { command make "$@" >log 2>&1; }
has() { grep -q -- "$1" log || { cat log >&2; die "expected: $1"; }; }

cp "$top/GNUmakefile" .
mkdir -p tests
cp -r "$top/tests/tools" tests/
rm -f tests/tools/*_test.sh
echo 'exit 0' >tests/tools/deps.sh
write raftcore/low/part.mk <<<'needs :='
write raftcore/low/low.h <<<'int low(void);'
write raftcore/low/low.c <<<'#include "low/low.h"
int low(void) { return 1; }'
write raftcore/top.h <<<'enum { TOP = 3 };'
write raftcore/mid/part.mk <<<'needs := low'
write raftcore/mid/sub/part.mk <<<'needs := low
gen := $(OUT)/gen/mid/sub/table.h $(OUT)/gen/mid/sub/table.c
$(OUT)/gen/mid/sub/table.h: $(here)/table
	sed "s/.*/int &(void);/" $< >$@
$(OUT)/gen/mid/sub/table.c: $(here)/table
	(echo "#include \"gen/mid/sub/table.h\""; sed "s/.*/int &(void) { return 4; }/" $<) >$@'
write raftcore/mid/sub/table <<<'entry'
write raftcore/mid/mid.h <<<'int mid(void);'
write raftcore/mid/mid.c <<<'#include "low/low.h"
#include "mid/mid.h"
int mid(void) { return low() + 1; }'
write controller/app/part.mk <<<'needs := mid mid/sub raftcore
progs := an-app'
write controller/app/an_app_main.c <<<'#include <stdio.h>
#include "gen/mid/sub/table.h"
#include "mid/mid.h"
#include "raftcore/top.h"
int main(void) { printf("%d\n", mid() + TOP + entry()); return 0; }'
write tests/unit/low/low.c <<<'#include "low/low.h"
#include "unit.h"
START_TEST(is_one) { ck_assert_int_eq(low(), 1); } END_TEST
START_TEST(is_not_two) { ck_assert_int_ne(low(), 2); } END_TEST
static Suite *suite(void)
{
	Suite *s = suite_create("low");
	TCase *t = tcase_create("low");
	tcase_add_test(t, is_one);
	tcase_add_test(t, is_not_two);
	suite_add_tcase(s, t);
	return s;
}
UNIT_MAIN(suite)'
write tests/sim/world.c <<<'#include <stdio.h>
int main(void) { printf("5 passed, 0 failed\n"); return 0; }'
write tests/fuzz/part.mk <<<'needs_eat := low'
write tests/fuzz/eat.c <<<'#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (n > 2 && p[0] == 68 && p[1] == 73 && p[2] == 69)
		abort();
	return 0;
}'
cp "$top/tests/fuzz/driver.c" tests/fuzz/
write tests/fuzz/corpus/eat/seed <<<'hello'
write tests/scenario/run.sh <<<'[ "$("$CONFLUX_BIN"/an-app)" = 9 ] && [ "$PWD/x" != "$WORK/x" ]'
write tests/scenario/later.sh <<<'exit 77'

make || { cat log; die "does not build"; }
[ "$(build/release/bin/an-app)" = 9 ] || die "the program is wrong"
make
has 'Nothing to be done'

# What is not needed is not seen, and neither is what a need needs.
echo '#include "low/low.h"' >>controller/app/an_app_main.c
! make || die "a forbidden include compiled"
has 'low/low.h: No such file'
sed -i '$d' controller/app/an_app_main.c
sed -i 's/needs := mid /needs := low mid /' controller/app/part.mk
make || die "a new need is not seen"
sed -i 's/needs := low/needs := app/' raftcore/mid/part.mk
! make layers || die "a cycle passed"
has 'raftcore.*needs app'
sed -i 's/needs := app/needs := low/' raftcore/mid/part.mk
make layers

# Only the audited version of the engine will do.
write raftcore/node/part.mk <<<'pkgs := raft'
write raftcore/node/node.c <<<'int node; '
write pkg-config <<<'#!/bin/sh
case $1 in --modversion) echo 0.22.2 ;; --libs) echo -lraft ;; esac'
chmod +x pkg-config
! make PKG_CONFIG=./pkg-config part P=node || die "another libraft passed"
has 'libraft 0.22.2 is installed and Conflux builds with 0.22.1 only'
sed -i 's/0.22.2/0.22.1/' pkg-config
make PKG_CONFIG=./pkg-config part P=node || die "the right libraft is refused"
! make PKG_CONFIG=false part P=node BUILD=other || die "no libraft passed"
has "run 'make deps'"
rm -r raftcore/node

# What changed is rebuilt; what went away is gone.
echo other >raftcore/mid/sub/table
! make || die "a changed table changed nothing"
echo entry >raftcore/mid/sub/table
make
write raftcore/low/more.c <<<'int more(void); int more(void) { return 0; }'
make && ar t build/release/lib/low.a | grep -q more.o || die "a new source"
rm raftcore/low/more.c
make && ! ar t build/release/lib/low.a | grep -q more.o || die "an old source"
python3 -m json.tool build/release/compile_commands.json >/dev/null

# Counts: 1 layers + 9 or 8 of the ELF file + 2 + 5 + 1 + 1, one skipped.
make VARIANT=dev check || true
has '^ok .* low/low  *2 '
has '^ok .* sim/world  *5 '
has '^ok .* fuzz/eat  *1 '
has '^ok .* scenario/run  *1 '
has '^skip .* scenario/later'
grep -E '^[0-9]+ passed, [0-9]+ failed, 1 skipped$' log >/dev/null ||
	die "no last line"

# A failure counts, also of what does not build and has built before.
sed -i 's/ck_assert_int_ne(low(), 2)/ck_assert_int_eq(low(), 2)/' tests/unit/low/low.c
! make VARIANT=dev check T=low || die "a failed test passed"
has '^1 passed, 1 failed$'
echo 'syntax error' >>tests/unit/low/low.c
! make VARIANT=dev check T=low || die "a test that does not build passed"
has 'did not build'
has '^0 passed, 1 failed$'
printf 'DIE' >tests/fuzz/corpus/eat/crash
! make VARIANT=dev check T=fuzz || die "a crash passed"
has 'died on tests/fuzz/corpus/eat/crash, mutation 0'
echo 'int main(void) { return 1; }' >tests/sim/world.c
! make VARIANT=dev check T=sim/world || die "a simulation without a count passed"
! make VARIANT=dev check T=nothing || die "no test at all passed"
echo "the build does what it says"
