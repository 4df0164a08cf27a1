"""Keys and secrets in a text: by the prefixes that issuers publish, by what they are assigned to, by their envelope."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["keys_in"]

_OTHERS = r"nvapi-|pplx-|tvly-|xai-|gsk_|r8_|lsv2_|dapi|hvs\.|sntrys_|figd_|PMAK-|ATATT|dckr_pat_|rnd_"
_ISSUED = re.compile(
    r"(?<![A-Za-z0-9_])(?:"
    + "|".join(
        (
            r"[sp]k-(?=[\w-]{0,200}\d)[A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, OpenRouter, Langfuse, LiteLLM
            r"[spr]k_(?:live|test)_[A-Za-z0-9]{10,}",  # Stripe
            r"whsec_[A-Za-z0-9+/=]{16,}",
            r"gh[pousr]_[A-Za-z0-9]{20,}",  # GitHub
            r"github_pat_[A-Za-z0-9_]{20,}",
            r"gl(?:pat|dt|rt|cbt|ptt|soat)-[A-Za-z0-9_-]{16,}",  # GitLab
            r"A(?:KIA|SIA|GPA|IDA|ROA|NPA|NVA|BIA|CCA)[A-Z2-7]{16}(?![A-Za-z0-9])",  # AWS
            r"xox[a-z]-[A-Za-z0-9-]{10,}",  # Slack
            r"xapp-\d-[A-Za-z0-9-]{10,}",
            r"AIza[A-Za-z0-9_-]{35}",  # Google
            r"ya29\.[A-Za-z0-9_-]{20,}",
            r"GOCSPX-[A-Za-z0-9_-]{20,}",
            r"hf_[A-Za-z0-9]{30,}",  # Hugging Face
            r"npm_[A-Za-z0-9]{36}",
            r"pypi-AgEI[A-Za-z0-9_-]{30,}",
            r"do[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
            r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
            r"shp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}",  # Shopify
            r"gl(?:sa|c)_[A-Za-z0-9_=]{32,}",  # Grafana
            rf"(?:{_OTHERS})(?=[\w.=-]{{0,200}}\d)[A-Za-z0-9_.=-]{{24,}}",
            r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}",  # JSON Web Tokens
        )
    )
    + ")"
)
_ISSUED_GATES = (
    *("sk-", "pk-", "k_live_", "k_test_", "whsec_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-"),
    *("gldt-", "glrt-", "glcbt-", "glptt-", "glsoat-", "AKIA", "ASIA", "AGPA", "AIDA", "AROA", "ANPA", "ANVA", "ABIA"),
    *("ACCA", "xox", "xapp-", "AIza", "ya29.", "GOCSPX-", "hf_", "npm_", "pypi-", "_v1_", "SG.", "shpat_", "shpca_"),
    *("shppa_", "shpss_", "glsa_", "glc_", "nvapi-", "pplx-", "tvly-", "xai-", "gsk_", "r8_", "lsv2_", "dapi", "hvs."),
    *("sntrys_", "figd_", "PMAK-", "ATATT", "dckr_pat_", "rnd_", "eyJ"),
)
_ENVELOPE = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?)-----(?:.*?-----END (?P=kind)-----|.*)", re.DOTALL
)
_WORDS = (
    *("password", "passwd", "passphrase", "passwort", "kennwort", "contraseña", "mot de passe", "senha", "wachtwoord"),
    *("пароль", "パスワード", "密码", "pwd", "secret", "token", "api_key", "api-key", "apikey", "api key"),
    *("access_key", "access-key", "accesskey", "accountkey", "account_key", "private_key", "client_key"),
    *("signing_key", "auth_key"),
)
_ASSIGNED = re.compile(
    r"(?:" + "|".join(_WORDS) + r")(?:[_-](?:key|token|value|base))?['\"`]?"
    r"(?:\s{1,4}(?:is|ist|es|est)\b|\s{0,4}(?::=|=>|=|:|：|は|是))\s{0,4}"
    r"(?:\"(?P<double>[^\"\s<>]{4,512})\"|'(?P<single>[^'\s<>]{4,512})'|`(?P<tick>[^`\s<>]{4,512})`"
    r"|(?P<bare>(?:[^\s\"'`<>,;(){}\[\]|&]|&(?![\w.-]{1,64}=)){5,512}))",
    re.IGNORECASE,
)
_CARRIED = re.compile(
    r"(?:\bauthorization['\"]?\s?[:=]\s?['\"]?(?:basic|bearer|token|apikey)|\bbearer(?=\s[^\s\"'<>]{0,400}[\d=])|\bx-api-key:)"
    r"\s{1,4}(?P<bare>[A-Za-z0-9._~+/=-]{16,})",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@<>\"']{0,128}:(?P<bare>[^\s/@<>\"']{1,256})@")
_SAID = re.compile(r"\d|[!#$%^*+?~§@\\]")
_NOT_SAID = re.compile(r"[$%]|/|\\|\.{2,}|x{3,}|\*{3,}|[\w.]+\.[A-Za-z_]\w*$|-?\d{1,4}(?:\.\d+)?[.!?]*$", re.IGNORECASE)
"""A variable, a path, a blotted-out value, an attribute, a small number (``max_token: 4096``): no secret itself."""


def keys_in(text: str) -> Iterator[tuple[int, int]]:
    """Give start and end of each secret in a text; several may overlap."""
    if "-----BEGIN " in text:
        yield from (found.span() for found in _ENVELOPE.finditer(text))
    if any(gate in text for gate in _ISSUED_GATES):
        yield from (found.span() for found in _ISSUED.finditer(text))
    if "://" in text and "@" in text:
        yield from (found.span("bare") for found in _USERINFO.finditer(text))
    lower = text.lower()
    if any(word in lower for word in ("bearer", "authorization", "x-api-key")):
        yield from (found.span("bare") for found in _CARRIED.finditer(text))
    if any(word in lower for word in _WORDS):
        for found in _ASSIGNED.finditer(text):
            group = found.lastgroup or "bare"
            value = found[group]
            if group != "bare" or (_SAID.search(value.rstrip(".?!")) and not _NOT_SAID.match(value)):
                start, end = found.span(group)
                yield start, end - (len(value) - len(value.rstrip(".?")) if group == "bare" else 0)
