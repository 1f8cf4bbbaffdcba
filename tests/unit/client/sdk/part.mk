needs := base client/sdk
help := server.c
