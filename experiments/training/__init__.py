"""What trainers and commands share."""
