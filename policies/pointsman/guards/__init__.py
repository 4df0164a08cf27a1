"""Guards: what keeps a gateway upright when models fail, are late or grow dear; executed by the router, replayed alike.

Standard library and numpy only. `settings` is what the policy says, `guards` acts on it, `choosing` puts it around
`pointsman.decide`.
"""
