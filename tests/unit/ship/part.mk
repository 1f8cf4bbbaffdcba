# lab.c: ships on simulated disks, with links in memory
needs := io/sim
help := lab.c
