"""Living with partners and sources that fail: mechanisms without I/O, which read no clock but the one handed in."""
