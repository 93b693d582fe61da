"""A background model and a spot-finding threshold for Spindle, from outside its repository."""
