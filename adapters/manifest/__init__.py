"""The manifest: what a department writes once, in YAML, so that its data can be asked (docs/adapters/manifest.md)."""

from adapters.manifest.load import load_manifest, load_manifest_fully, manifest_of, parse_manifest
from adapters.manifest.model import ApiManifest, FileManifest, Manifest, TableManifest
from adapters.manifest.remote import RemoteManifest

__all__ = [
    "ApiManifest",
    "FileManifest",
    "Manifest",
    "RemoteManifest",
    "TableManifest",
    "load_manifest",
    "load_manifest_fully",
    "manifest_of",
    "parse_manifest",
]
