"""What makes a fresh machine enough: embedded servers, a demo store, an importer of public data."""
