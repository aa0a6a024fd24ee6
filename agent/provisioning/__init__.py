"""From an installed package to a serving terminal: key, certificates, trust, settings, service, self-test."""
