# base: errors, strings, buffers, arenas, logging, state machines; libc only
needs :=
pkgs  :=
installs := must.h err.h errors.tbl str.h buf.h list.h mem.h rand.h clock.h log.h
