"""What people touch: the command line, the Client, the sandbox."""
