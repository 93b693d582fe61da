"""Which pixels not to use: by rules that a user gives (`rules`), and by what images themselves show (`automatic`)."""
