"""What a trainer's step needs on machines that are not there."""
