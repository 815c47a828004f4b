"""Malformed input by the million: manifests, dropped files, answers of interfaces; made from sound ones by a seed."""
