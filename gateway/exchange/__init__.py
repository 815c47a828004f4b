"""The envelope: suites, sealing and opening, replay guard. Pure but for the stores it is handed."""
