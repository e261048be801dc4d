"""What every provider, and the transport under it, must do over real sockets whatever the other end does."""
