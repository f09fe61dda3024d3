"""From labelled frames to a potential: configuration, data, losses, the loop, what it leaves behind."""
