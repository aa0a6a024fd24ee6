"""One verification as a flat list of steps over one typed context."""
