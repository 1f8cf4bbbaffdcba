# seal: keys, wrapped file keys, sealed streams and files; AES-256-GCM, X25519
needs := base io wire
pkgs  := openssl
installs := seal.h keyring.h pair.h stream.h files.h
