"""Pages of help: their content, from the tables, and how a terminal and `man` show them."""
