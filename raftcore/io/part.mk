# io: event loop, timers, mailbox, workers, TCP and TLS streams, files
needs := base
pkgs  := libuv openssl
