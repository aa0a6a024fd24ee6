"""Device key, certificates, trust anchors, clock."""
