# lab.c: a server on a thread, clients with blocking sockets; h2_client.c: one
# that says frames
help := lab.c lab_kept.c h2_client.c
pkgs := libnghttp2
