"""The rules of the field as pure functions over columns: no I/O, no network, no clock."""
