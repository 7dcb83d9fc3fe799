"""`ringway doctor`: a site's wiring, part by part. What is looked at stands apart from what is made of it.

Nothing is changed: no store is made, no row, key or AstDB entry is written, and no manager account needs more rights
than the shipped one has. What cannot be seen yet is said to be so, and never taken for right.
"""
