"""Envoy's external processor (gRPC ``ext_proc``): routes each LLM request by a header that Envoy's routes match on.

Modules: `request` reads a body, `messages` writes the protocol's answers, `exchange` is one request's conversation,
`processor` the service, ``python -m pointsman.gateways.envoy`` the server. All need the extra ``[envoy]``, `request`
alone does not.
"""

from __future__ import annotations
