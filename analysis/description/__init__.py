"""What sets of pieces are like in numbers: regression checks beside real music, no judgement of quality."""
