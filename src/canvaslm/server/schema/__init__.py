"""What requests and responses look like, one file for each endpoint."""
