needs_manifest := base doc schema model source
needs_http1 := base http/wire
