"""What runs stampline somewhere: the simulation on one machine, set-up scripts, examples for real machines."""
