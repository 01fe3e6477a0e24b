"""What the pages of the studio read: plain rows, each list in a fixed number of queries."""
