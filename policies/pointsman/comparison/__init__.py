"""Two policies on the same requests: what changes, for whom, and whether it is proven."""
