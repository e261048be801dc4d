"""The ground: the database as SQLAlchemy knows it, its tables, its migrations, and what its kinds differ in."""
