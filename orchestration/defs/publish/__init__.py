"""What is shown to readers: only after the numbers reconcile."""
