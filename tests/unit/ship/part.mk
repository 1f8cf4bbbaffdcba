# lab.c: ships on simulated disks, with links in memory; sealed.c: over sealed files
needs := io/sim seal
help := lab.c
