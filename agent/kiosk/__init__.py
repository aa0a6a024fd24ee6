"""The page that the person looks at."""
