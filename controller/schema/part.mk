# schema: the kinds of schemas/kinds/ and validation of objects against them
needs := base doc
pkgs  :=
