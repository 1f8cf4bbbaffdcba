# egress: which addresses requests out may go to; pure
needs := base
pkgs  :=
