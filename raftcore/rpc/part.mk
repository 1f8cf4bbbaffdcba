# rpc: request and response between nodes, with deadlines and bounds; no thread,
# no clock, no transport
needs := base wire raftcore
pkgs  :=
installs := rpc.h
