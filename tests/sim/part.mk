# Simulations: a program each, see GNUmakefile
needs_one_node := base io io/sim wire seal wal raftcore node
needs_cluster := base io io/sim wire seal wal raftcore node
needs_diverge := base io io/sim wire seal wal raftcore node
# world.c, server.c: servers, disks and network on simulated time
help_cluster := history.c world.c server.c toy.c damage.c
help_diverge := world.c server.c toy.c damage.c
help_one_node := damage.c
# The controller's state as their machine
needs_state := base io io/sim wire seal wal raftcore node doc schema model kv state store client/sdk
help_state := replica.c programs.c record.c gates.c gate_things.c gate_proposals.c gate_told.c gate_names.c gate_leads.c gate_holds.c rolls.c gate_wishes.c wishes.c clients.c watchers.c history.c world.c server.c toy.c damage.c
