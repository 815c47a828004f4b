"""What the gateway keeps: tables, migrations, and the queries over them. The door is `gateway.store.engine.Store`."""
