# Writes the text files that it is given as an array of C strings.
function finish() { if (open) print "\t," }
BEGIN {
	print "/* Made from schemas/kinds/ by embed.awk. */"
	print "#include \"schema/kinds_text.h\"\n"
	print "const char *const kinds_text[] = {"
}
FNR == 1 { finish(); open = 1; n++ }
{
	gsub(/\\/, "\\\\")
	gsub(/"/, "\\\"")
	print "\t\"" $0 "\\n\""
}
END {
	finish()
	print "};\nconst unsigned kinds_text_count = " n ";"
}
