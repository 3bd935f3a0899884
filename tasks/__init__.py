"""Everything a worker needs for one chunk: one file, one kind of task."""
