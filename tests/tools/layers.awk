# Prints the parts from low to high, a line a layer, and fails where there is
# no order.  Input, a line a part: name folder need... : package...
#
# Also fails where a part needs what is not there, where raftcore needs the
# controller (or that the providers), and where a library that one part is to
# hide is used by another.

BEGIN {
	owner["raft"] = "node"
	owner["lmdb"] = "kv"
	owner["libgit2"] = "source"
	owner["libpq"] = "sql"
	owner["libnghttp2"] = "http/wire http/server"
	owner["yaml-0.1"] = "doc client/sdk"
	owner["tomlplusplus"] = "doc"
	rank["raftcore"] = 1
	rank["controller"] = 2
	rank["providers"] = 3
}

function bad(text) {
	print "layers: " text > "/dev/stderr"
	failed = 1
}

{
	split($2, path, "/")
	root[$1] = path[1]
	order[++n] = $1
	packages = 0
	for (i = 3; i <= NF; i++) {
		if ($i == ":")
			packages = 1
		else if (!packages)
			needs[$1] = needs[$1] " " $i
		else if ($i in owner && index(" " owner[$i] " ", " " $1 " ") == 0)
			bad($1 " uses " $i ", which belongs to " owner[$i] " alone")
	}
}

# The layer of p: one above the highest part it needs.
function layer(p, trail,   list, count, i, l, q, max) {
	if (p in height)
		return height[p]
	if (index(trail, " " p " ")) {
		sub(".* " p " ", p " ", trail)
		gsub(" +", " needs ", trail)
		bad("a cycle: " trail p)
		return 0
	}
	count = split(needs[p], list, " ")
	max = -1
	for (i = 1; i <= count; i++) {
		q = list[i]
		if (q in rank)
			continue
		if (!(q in root)) {
			bad(p " needs " q ", and there is no such part")
			continue
		}
		if (rank[root[q]] > rank[root[p]] )
			bad(p " (" root[p] ") needs " q " (" root[q] ")")
		l = layer(q, trail p " ")
		if (failed)
			return 0
		if (l > max)
			max = l
	}
	height[p] = max + 1
	if (max + 1 > top)
		top = max + 1
	return max + 1
}

END {
	for (i = 1; i <= n && !failed; i++)
		layer(order[i], " ")
	if (failed)
		exit 1
	for (l = 0; l <= top; l++)
		for (i = 1; i <= n; i++)
			if (height[order[i]] == l)
				printf "%2d  %-14s %s\n", l, order[i], \
					(needs[order[i]] == "" ? "" : "needs" needs[order[i]])
}
