"""The access policy as data: who may ask what, decided by signed acts of people with separated roles. I/O-free."""
