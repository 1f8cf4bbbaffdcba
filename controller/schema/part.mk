# schema: the kinds of schemas/kinds/ and validation of objects against them
needs := base doc
pkgs  :=
gen   := $(OUT)/gen/schema/kinds_text.c

# The kind files as C strings, one literal a line of YAML.
$(OUT)/gen/schema/kinds_text.c: $(here)/embed.awk $(sort $(wildcard schemas/kinds/*.yaml))
	awk -f $^ >$@
