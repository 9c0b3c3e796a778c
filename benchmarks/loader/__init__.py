"""How fast the loader is, beside a bare COPY and beside other tools: `make bench-loader`."""
