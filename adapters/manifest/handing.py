"""The manifest of kind `remote` that belongs to a department's own manifest: what its province's gateway is given.

Owns: writing it. Refuses: what only the department needs: where its data is, and how it is mapped.
"""

from __future__ import annotations

from typing import Any

import yaml

from adapters.manifest.model import Manifest
from adapters.manifest.vocabulary import DEPARTMENTS, KINDS, STRENGTHS


def remote_manifest(manifest: Manifest, address: str, tls_name: str) -> str:
    """A manifest as YAML.

    Args:
        manifest: that the department serves.
        address: host:port at which the gateway reaches it.
        tls_name: that its certificate proves.
    """
    about = manifest.description()
    kinds, strengths = _words(KINDS), _words(STRENGTHS)
    head: dict[str, Any] = {
        "manifest": 1,
        "adapter_id": about.adapter_id,
        "version": about.version,
        **({"title": manifest.title.model_dump()} if manifest.title else {}),
        "department": _words(DEPARTMENTS)[about.department],
        "regions": list(about.regions),
        "kind": "remote",
        "source": {"address": address, "tls_name": tls_name},
        "offers": {
            "items": [
                {
                    "evidence": kinds[item.kind],
                    "strength": strengths[item.strength],
                    "freshness_days": item.freshness_days,
                }
                for item in about.items
            ],
            "links": about.links,
            "changes": about.changes,
        },
        "max_batch": about.max_batch,
        "timeout_s": manifest.timeout_s,
        "concurrency": manifest.concurrency,
    }
    return yaml.safe_dump(head, allow_unicode=True, sort_keys=False, default_flow_style=None, width=120)


def _words(numbers: dict[str, int]) -> dict[int, str]:
    return {number: word for word, number in numbers.items()}
