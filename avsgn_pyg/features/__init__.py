"""Raw video to features: reading media, frozen encoders, extraction."""
