"""What trains, keeps and measures a model: it knows videos, losses and devices, no equation of the paper."""
