"""Memory and time of a trainer's step on machines that are not attached."""
