"""What training and inference cost on this machine, in seconds, memory and operations."""
