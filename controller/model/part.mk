# model: the nouns and every decision; pure
needs := base wire doc schema
pkgs  :=
