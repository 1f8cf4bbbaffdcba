# io/sim: a simulated disk behind struct fs, which loses and tears what was not
# synced; tests alone use it
needs := base io
