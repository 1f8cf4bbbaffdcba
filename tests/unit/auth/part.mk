needs := io
