"""What ails a training, told by its record, and what to do about it."""
