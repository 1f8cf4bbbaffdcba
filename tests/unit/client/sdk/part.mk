needs := base client/sdk
help := keys.c server.c
