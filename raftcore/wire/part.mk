# wire: varints, framing and checksums; pure encoding
needs := base
pkgs  := openssl libisal
installs := wire.h sum.h
