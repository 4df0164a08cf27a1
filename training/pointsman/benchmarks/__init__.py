"""What `pointsman benchmark` measures; one module a benchmark, and none of them prints."""
