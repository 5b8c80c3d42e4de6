"""Who asks something of a server, and how much of it they may take: the same for every way in."""
