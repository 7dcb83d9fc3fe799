"""The kinds of rows that a data set is made of."""
