"""Is this a living person, here and now? Independent evidence (ISO/IEC 30107-1), fused by a policy."""
