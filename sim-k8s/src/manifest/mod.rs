//! Manifests: YAML and JSON files in, objects out.
