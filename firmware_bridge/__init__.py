"""From bytes on a bus to a document: readers, chips, serial modules, and their simulators. Knows nobody."""
