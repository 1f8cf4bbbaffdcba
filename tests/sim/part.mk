# Simulations: a program each, see GNUmakefile
needs_one_node := base io io/sim wire wal raftcore node
