"""What kills do to the loader: `make soak` kills it and both servers while a shop is at work."""
