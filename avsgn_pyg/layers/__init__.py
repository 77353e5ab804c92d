"""What passes a message: the table of convolutions, their weighted forms, and time encodings."""
