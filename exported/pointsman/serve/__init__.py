"""The sidecar: a router behind HTTP, for gateways in any language. Needs the extra ``serve``."""
