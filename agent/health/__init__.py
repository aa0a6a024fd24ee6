"""Self-test, watchdog, metrics, audit, diagnostics."""
