"""The report that people decide by: one HTML page from a replay, with the verdict in words on top."""
