# io: event loop, timers, mailbox, workers, TCP and TLS streams, files
needs := base
pkgs  := libuv openssl
installs := loop.h timer.h pool.h file.h stream.h tls.h
