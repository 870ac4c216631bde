"""What a driver must satisfy."""
