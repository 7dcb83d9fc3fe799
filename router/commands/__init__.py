"""The commands of `ringway`, one module a subject. Each function takes the parsed arguments and gives a status."""
