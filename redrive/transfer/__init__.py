"""Tasks in and out of files: CSV with a header, or JSON. See docs/import-export.md."""
