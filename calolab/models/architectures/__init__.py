"""One file per model, each with its records in `ARCHITECTURES`; a file in this folder is in the registry."""
