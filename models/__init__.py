"""Networks and their training: torch in, torch out. No URLs, no chunks, no queues."""
