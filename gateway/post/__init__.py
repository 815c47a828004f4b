"""Store-and-forward: letters to other members, and what they left here."""
