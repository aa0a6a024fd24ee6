"""Settings: schema, store, remote changes."""
