# nodes.c: a store, and folders of nodes
needs := io
help := nodes.c
