# lab.c: a server on a thread, clients with blocking sockets
help := lab.c
