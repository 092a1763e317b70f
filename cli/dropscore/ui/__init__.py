"""The page: what `ls` and `show` tell, kept up to date, on this machine alone."""
