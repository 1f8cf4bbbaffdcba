needs_manifest := base doc schema model source
