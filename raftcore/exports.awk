# The symbols of libraftcore, one a line: of what the objects define, the
# functions that an installed header declares.
#
#	awk -f exports.awk HEADER... objects=1 FILE
#
# FILE is what `nm -g --defined-only` says.  A name counts as declared where a
# header has it before a parenthesis and outside of comments; names that are no
# functions of ours (macros, attributes) are no symbols of the objects.

!objects {
	for (line = $0; line != "";) {
		if (comment) {
			at = index(line, "*/")
			line = at ? substr(line, at + 2) : ""
			comment = !at
			continue
		}
		at = index(line, "/*")
		names(at ? substr(line, 1, at - 1) : line)
		line = at ? substr(line, at + 2) : ""
		comment = at > 0
	}
	next
}
$2 == "T" && $3 in declared && !seen[$3]++ { print $3 }

function names(text) {
	while (match(text, /[A-Za-z_][A-Za-z0-9_]*\(/)) {
		declared[substr(text, RSTART, RLENGTH - 1)] = 1
		text = substr(text, RSTART + RLENGTH)
	}
}
