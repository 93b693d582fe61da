"""Which pixels not to use: by rules that a user gives (`rules`), by what images themselves show (`automatic`), and
because spots are predicted there (`free_pixels`)."""
