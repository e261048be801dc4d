"""What speaks to the database: addresses, sessions, errors, tables, migrations, and what the two dialects differ in."""
