"""What a piece of music is: exact scores, their files, their array forms, their sound."""
