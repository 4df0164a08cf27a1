"""Gateways that route by a bundle: plugins that run inside them, and their configuration written from the policy."""
