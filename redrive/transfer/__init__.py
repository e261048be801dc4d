"""Tasks in and out of files: CSV with a header, or JSON lines. See docs/import-export.md."""
