"""What the gateway keeps: tables, migrations, and the queries over them."""
