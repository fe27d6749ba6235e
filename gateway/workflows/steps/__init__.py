"""The kinds of nodes, a file each. `running` says what a body is."""
