"""Videos and their annotations come in: AVE-shaped folders, feature stores, and a made AVE."""
