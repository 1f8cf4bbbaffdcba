# net: the transport between nodes: streams per peer and channel, frames
needs := base io wire
pkgs  := libuv
installs := net.h
