# edge: conflux-agent: configurations as files, for programs without an SDK
needs := base wire io doc client/sdk
progs := conflux-agent
