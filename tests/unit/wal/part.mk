# faults.c: over the simulated disk
needs := io io/sim seal
