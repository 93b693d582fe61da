"""A background model, a spot-finding threshold and a section of reports for Spindle, from outside its repository."""
