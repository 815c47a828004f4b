"""Many questions over one call of `AgencyService.CheckMany`: what both ends of it have in common, and the agency's end.

Owns: messages made of parts that are serialized already, and asking so. Refuses: answering (`gateway.services.many`).
"""
