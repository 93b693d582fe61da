executor = 7
